"""The whole service on a real broker: events come in, notifications go out."""

from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
import orjson
import pytest
from chassis.messaging.envelope import BATCH, SINGLE, Decoder
from chassis.ports.events import Received
from chassis.testing import eventually
from chassis.testing.running import NOWHERE, running
from chassis.testing.world import World

from application.handle_events import message_about
from application.messages import CONSUMED
from tests.contracts import fact
from tests.running import load_main


async def told(service: httpx.AsyncClient, customer: str) -> list[str]:
    """The subjects of what the customer was told, in the order of their sending."""
    answer = await service.get("/notifications", params={"customer_id": customer, "limit": 200})
    return [note["subject"] for note in reversed(answer.json())]


async def hears(service: httpx.AsyncClient, customer: str, *subjects: str) -> None:
    """Waits until that is what the customer was told."""

    async def heard() -> bool:
        return sorted(await told(service, customer)) == sorted(subjects)

    try:
        await eventually(heard)
    except TimeoutError:
        assert sorted(await told(service, customer)) == sorted(subjects)


async def test_every_kind_of_event_reaches_its_customer(service: httpx.AsyncClient, others: World) -> None:
    customer = str(uuid4())
    facts = [fact(name, customer) for name in CONSUMED]
    for event in facts:
        await others.report(event)

    read = Decoder(CONSUMED).decode(orjson.dumps(facts), BATCH)
    await hears(
        service, customer, *(message_about(event.type, event.data)[0] for event in read if isinstance(event, Received))
    )


async def test_an_event_that_comes_many_times_is_told_once(service: httpx.AsyncClient, others: World) -> None:
    customer = str(uuid4())
    event, last = fact("OrderCompleted", customer), fact("OrderCompleted", customer)

    await others.report(event)
    await others.report(event, event)
    await others.report(event, last)

    await hears(service, customer, "Order completed", "Order completed")


async def test_what_can_not_be_read_is_set_aside_and_the_good_ones_are_told(
    service: httpx.AsyncClient, others: World
) -> None:
    customer = str(uuid4())
    good, other = fact("OrderFailed", customer), fact("OrderFailed", customer)
    bad: dict[str, Any] = fact("OrderFailed") | {"data": {"order_id": "17"}}

    await others.report(good, bad, other)
    await others.send("order.failed", b"no JSON", SINGLE)
    await others.send("order.failed", b"[]", BATCH)
    await others.send("order.failed", orjson.dumps(good), "text/plain")

    await eventually(lambda: len(others.dead_letters) == 4)
    letters = others.dead_letters
    await hears(service, customer, "Order failed", "Order failed")
    assert [letter.headers["x-reason"] for letter in letters] == [
        "invalid-data",
        "not-json",
        "empty-batch",
        "unsupported-content-type",
    ]
    assert orjson.loads(letters[0].body) == bad
    assert letters[0].content_type == SINGLE
    for letter in letters:
        assert letter.headers["x-service"] == "notification-service"
        assert letter.headers["x-routing-key"] == "order.failed"
        assert letter.headers["x-error"]
    assert (await service.get("/health")).status_code == 200


async def test_an_event_whose_sending_fails_is_told_a_moment_later_and_the_others_at_once(
    service: httpx.AsyncClient, others: World, main: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    lucky, unlucky = str(uuid4()), str(uuid4())
    send = main.LogChannel.send
    failures: list[UUID] = []

    async def send_after_two_failures(channel: object, customer: UUID, *rest: str) -> None:
        if str(customer) == unlucky and len(failures) < 2:  # once with its batch, once alone
            failures.append(customer)
            raise ValueError("a bad address, for now")
        await send(channel, customer, *rest)

    monkeypatch.setattr(main.LogChannel, "send", send_after_two_failures)
    await others.report(*(fact("OrderConfirmed", customer) for customer in (lucky, unlucky, lucky)))

    await hears(service, lucky, "Order confirmed", "Order confirmed")
    assert await told(service, unlucky) == []
    await hears(service, unlucky, "Order confirmed")
    assert len(failures) == 2


async def test_what_a_person_sends_is_listed_with_what_events_say(service: httpx.AsyncClient, others: World) -> None:
    customer = str(uuid4())
    await others.report(fact("PaymentRefunded", customer))
    await hears(service, customer, "Payment refunded")

    note = {"customer_id": customer, "subject": "Sorry", "message": "It was our fault."}
    assert (await service.post("/notifications", json=note)).status_code == 201

    assert await told(service, customer) == ["Payment refunded", "Sorry"]


@pytest.fixture
async def lonely(rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """The service in a state that the test brings about, and that nobody mends by looking."""
    monkeypatch.setattr("chassis.messaging.broker.WATCH_EVERY_SECONDS", 3600.0)
    async with running(load_main(rabbitmq_url)) as client:
        yield client


async def red(service: httpx.AsyncClient, path: str = "/health") -> set[str]:
    checks = (await service.get(path)).json()["checks"]
    return {name for name, check in checks.items() if check["status"] == "failing"}


async def test_health_names_what_the_service_works_with(service: httpx.AsyncClient) -> None:
    health = (await service.get("/health")).json()

    assert set(health["checks"]) == {"broker", "consumer"}
    assert (await service.get("/health/ready")).status_code == 200
    assert (await service.get("/health/live")).status_code == 200
    assert 'events_consumed_total{type="OrderCompleted"}' in (await service.get("/metrics")).text


async def test_a_broker_away_shows_and_keeps_no_request_waiting() -> None:
    main = load_main(f"amqp://{NOWHERE}/")
    async with running(main, healthy=False) as cut_off:
        assert await red(cut_off) == {"broker", "consumer"}
        assert (await cut_off.get("/health/ready")).status_code == 200
        assert (await cut_off.get("/health/live")).status_code == 200
        note = {"customer_id": str(uuid4()), "subject": "Sorry", "message": "It was our fault."}
        assert (await cut_off.post("/notifications", json=note)).status_code == 201


async def test_a_service_that_stops_stops_its_consumer() -> None:
    main = load_main(f"amqp://{NOWHERE}/")
    async with running(main, healthy=False):
        assert not main.consumer.stopping
    assert main.consumer.stopping


async def test_a_consumer_that_the_broker_cancelled_shows_and_asks_for_a_restart_if_it_stays_away(
    lonely: httpx.AsyncClient, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await red(lonely) == set()
    async with await aio_pika.connect(rabbitmq_url) as connection:
        await (await connection.channel()).queue_delete("notification-service")

    async def shown() -> bool:
        return await red(lonely) == {"consumer"}

    await eventually(shown)
    assert await red(lonely, "/health/ready") == set()
    assert await red(lonely, "/health/live") == set()
    monkeypatch.setattr("chassis.http.health.RESTART_AFTER_SECONDS", 0)
    assert await red(lonely, "/health/live") == {"consumer"}
