"""The whole service over HTTP on real servers: what main.py puts together, replicas of it, and missing servers."""

import asyncio
from datetime import datetime
from uuid import UUID, uuid4

import httpx
import pytest
from chassis.ports.ids import uuid7
from chassis.postgres.database import Database
from chassis.testing import eventually
from chassis.testing.running import NOWHERE, running
from chassis.testing.world import World
from sqlalchemy import text

from tests.running import load_main
from tests.shop import assert_problem, order_body, place


async def test_concurrent_orders_share_transactions(service: httpx.AsyncClient, database: Database) -> None:
    """Rows of one transaction bear one xmin."""
    customer = str(uuid4())
    await asyncio.gather(*(place(service, customer_id=customer) for _ in range(100)))
    async with database.autocommit() as connection:
        transactions = text("SELECT count(DISTINCT xmin::text) FROM orders WHERE customer_id = :customer")
        assert (await connection.execute(transactions, {"customer": UUID(customer)})).scalar_one() < 20


async def test_orders_are_taken_while_the_broker_is_away_and_told_when_it_is_back(
    service: httpx.AsyncClient, others: World, orders_url: str, database: Database
) -> None:
    main = load_main(DATABASE_URL=orders_url, RABBITMQ_URL=f"amqp://admin:admin@{NOWHERE}/")
    async with running(main, healthy=False) as cut_off:
        order = await place(cut_off)
        assert (await cut_off.get("/health/ready")).status_code == 200
        assert (await cut_off.get("/health/live")).status_code == 200
        health = await cut_off.get("/health")
        assert health.status_code == 503
        assert {name: check["status"] for name, check in health.json()["checks"].items()} == {
            "database": "ok",
            "broker": "failing",
            "consumer": "failing",
            "outbox": "ok",
            "jobs": "ok",
        }

    async with database.autocommit() as connection:  # as if it had waited for long
        aged = text("UPDATE outbox SET created_at = now() - interval '1 minute' WHERE order_id = :order_id")
        assert (await connection.execute(aged, {"order_id": order["id"]})).rowcount == 1
    await eventually(lambda: others.names(order["id"]) == ["OrderCreated"])


async def test_without_its_database_the_service_says_so(broker_url: str) -> None:
    main = load_main(DATABASE_URL=f"postgresql+asyncpg://orders:orders@{NOWHERE}/none", RABBITMQ_URL=broker_url)
    async with running(main, healthy=False) as cut_off:
        for request in (
            cut_off.post("/orders", json=order_body()),
            cut_off.get(f"/orders/{uuid7()}"),
            cut_off.delete(f"/orders/{uuid7()}"),
            cut_off.get(f"/orders/customer/{uuid4()}"),
        ):
            answer = await request
            problem = assert_problem(answer, 503, "unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            assert NOWHERE not in problem["detail"]
        ready = await cut_off.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]["database"]["status"]) == (503, "failing")


async def test_a_service_started_by_hand_as_an_administrator_works(database_url: str, broker_url: str) -> None:
    async with running(load_main(DATABASE_URL=database_url, RABBITMQ_URL=broker_url)) as by_hand:
        order = await place(by_hand)
        assert (await by_hand.get(f"/orders/{order['id']}")).json() == order
        assert (await by_hand.delete(f"/orders/{order['id']}")).json()["status"] == "cancelled"


async def test_settings_come_from_the_environment(orders_url: str, broker_url: str) -> None:
    main = load_main(
        DATABASE_URL=orders_url.replace("+asyncpg", ""),
        RABBITMQ_URL=broker_url,
        CURRENCY="EUR",
        ORDER_EXPIRES_AFTER_SECONDS="1",
    )
    async with running(main) as service:
        order = await place(service)
        assert order["currency"] == "EUR"

        async def expired() -> bool:
            return bool((await service.get(f"/orders/{order['id']}")).json()["reason"] == "expired")

        await eventually(expired)


async def test_its_jobs_run(service: httpx.AsyncClient) -> None:
    running = {task.get_name() for task in asyncio.all_tasks()}
    prunings = {"pruning of inbox", "pruning of idempotency keys"}
    assert {"order deadlines", "reminders", "outbox sweep", *prunings} <= running


async def test_metrics_tell_of_orders_events_and_batches(service: httpx.AsyncClient) -> None:
    async def cancelled() -> dict[str, float]:
        lines = (await service.get("/metrics")).text.splitlines()
        return {line.partition("{")[0]: float(line.split()[-1]) for line in lines if '{status="cancelled"}' in line}

    before = await cancelled()
    order = await place(service)
    for _ in range(2):
        answer = await service.delete(f"/orders/{order['id']}")
    took = datetime.fromisoformat(answer.json()["updated_at"]) - datetime.fromisoformat(order["created_at"])
    more = {name: value - before[name] for name, value in (await cancelled()).items()}
    assert more["orders_total"] == more["order_decided_seconds_count"] == 1
    assert more["order_amounts_total"] == pytest.approx(order["total_amount"])
    assert more["order_decided_seconds_sum"] == pytest.approx(took.total_seconds())
    metrics = (await service.get("/metrics")).text
    for name in ("events_published_total", "command_batch_size_bucket", "outbox_backlog", "http_request_duration"):
        assert name in metrics
