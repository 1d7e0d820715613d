"""Idempotency keys over HTTP on real servers: one order for each key of each customer, for 24 hours."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from chassis.ports.errors import Interrupted
from chassis.postgres import idempotency
from chassis.postgres.database import Database
from chassis.postgres.repository import delete_in_batches
from chassis.testing.running import running
from sqlalchemy import text

from tests.running import load_main
from tests.shop import PRODUCT, assert_problem, order_body

PEN = "0b9d7b43-7a34-4a0e-9a55-3a0f4a6f9a02"
Body = dict[str, Any]
Headers = dict[str, str]


async def number_of_orders(database: Database, customer: str) -> int:
    async with database.autocommit() as connection:
        theirs = text("SELECT count(*) FROM orders WHERE customer_id = :customer")
        return int((await connection.execute(theirs, {"customer": UUID(customer)})).scalar_one())


async def is_now(database: Database, key: Headers, hours: float) -> None:
    """As if the key had come so many hours ago."""
    aged = text("UPDATE idempotency_keys SET created_at = now() - make_interval(secs => :seconds) WHERE key = :key")
    async with database.autocommit() as connection:
        await connection.execute(aged, {"seconds": hours * 3600, "key": key["Idempotency-Key"]})


def a_key() -> Headers:
    return {"Idempotency-Key": str(uuid4())}


def two_lines(customer: str) -> Body:
    lines = [{"product_id": PRODUCT, "quantity": 2, "price": 19.99}, {"product_id": PEN, "quantity": 1, "price": 5}]
    return {"customer_id": customer, "items": lines}


def replayed(answer: httpx.Response) -> bool:
    assert answer.status_code == 201, answer.text
    return "Idempotent-Replayed" in answer.headers


async def test_a_replay_is_the_first_answer_to_the_byte(service: httpx.AsyncClient) -> None:
    body, key = order_body(price="20.50"), a_key()
    first = await service.post("/orders", json=body, headers=key)
    await service.delete(first.headers["Location"])
    again = await service.post("/orders", json=body, headers=key)
    assert replayed(again)
    assert again.content == first.content


OTHERWISE: dict[str, Callable[[list[Body]], list[Body]]] = {
    "another price": lambda lines: [lines[0] | {"price": 19.98}, lines[1]],
    "another quantity": lambda lines: [lines[0], lines[1] | {"quantity": 2}],
    "another product": lambda lines: [lines[0], lines[1] | {"product_id": str(uuid4())}],
    "a line more": lambda lines: [*lines, lines[1]],
    "a line less": lambda lines: lines[:1],
    "the same quantity in more lines": lambda lines: [*([lines[0] | {"quantity": 1}] * 2), lines[1]],
    "another order of lines": lambda lines: lines[::-1],
}


@pytest.mark.parametrize("otherwise", OTHERWISE.values(), ids=OTHERWISE)
async def test_the_same_key_with_another_order_is_refused(
    service: httpx.AsyncClient, database: Database, otherwise: Callable[[list[Body]], list[Body]]
) -> None:
    customer, key = str(uuid4()), a_key()
    body = two_lines(customer)
    assert not replayed(await service.post("/orders", json=body, headers=key))

    other = body | {"items": otherwise(body["items"])}
    assert_problem(await service.post("/orders", json=other, headers=key), 422, "idempotency-key-reused")

    assert replayed(await service.post("/orders", json=body, headers=key))
    assert await number_of_orders(database, customer) == 1


async def test_a_key_is_kept_for_24_hours_and_then_a_new_one(service: httpx.AsyncClient, database: Database) -> None:
    customer, key = str(uuid4()), a_key()
    body, other = two_lines(customer), order_body(customer_id=customer)

    async def ask(body: Body) -> httpx.Response:
        return await service.post("/orders", json=body, headers=key)

    first = await ask(body)
    await is_now(database, key, 23)
    assert replayed(again := await ask(body))
    assert again.content == first.content
    assert_problem(await ask(other), 422, "idempotency-key-reused")

    await is_now(database, key, 25)
    second = await ask(other)
    assert not replayed(second)
    assert second.json()["id"] != first.json()["id"]
    assert replayed(again := await ask(other))
    assert again.content == second.content
    assert_problem(await ask(body), 422, "idempotency-key-reused")
    assert await number_of_orders(database, customer) == 2


async def test_a_key_is_forgotten_after_24_hours_and_not_before(service: httpx.AsyncClient, database: Database) -> None:
    key = a_key()
    await service.post("/orders", json=order_body(), headers=key)
    kept = text("SELECT count(*) FROM idempotency_keys WHERE key = :key")
    for hours, left in ((23, 1), (25, 0)):
        await is_now(database, key, hours)
        async with database.autocommit() as connection:
            await delete_in_batches(connection, idempotency.PRUNE)
            assert (await connection.execute(kept, {"key": key["Idempotency-Key"]})).scalar_one() == left


async def test_customers_who_use_the_same_key_do_not_meet(service: httpx.AsyncClient, database: Database) -> None:
    """The README's own `cart-4711` invites it."""
    key, customers = a_key(), [str(uuid4()) for _ in range(3)]
    firsts = [
        await service.post("/orders", json=order_body(customer_id=customer), headers=key) for customer in customers
    ]
    agains = [
        await service.post("/orders", json=order_body(customer_id=customer), headers=key) for customer in customers
    ]

    assert [replayed(answer) for answer in firsts + agains] == [False] * 3 + [True] * 3
    assert [answer.content for answer in agains] == [answer.content for answer in firsts]
    assert [answer.json()["customer_id"] for answer in firsts] == customers
    assert [await number_of_orders(database, customer) for customer in customers] == [1, 1, 1]


async def test_one_key_makes_one_order_for_each_customer_over_two_replicas(
    service: httpx.AsyncClient, orders_url: str, broker_url: str, database: Database
) -> None:
    async with running(load_main(DATABASE_URL=orders_url, RABBITMQ_URL=broker_url)) as replica:
        for _ in range(5):
            key, customers = a_key(), [str(uuid4()), str(uuid4())]
            answers = await asyncio.gather(
                *(
                    client.post("/orders", json=order_body(customer_id=customer), headers=key)
                    for _ in range(10)
                    for client in (service, replica)
                    for customer in customers
                )
            )
            for which, customer in enumerate(customers):
                theirs = answers[which::2]
                assert [replayed(answer) for answer in theirs].count(False) == 1
                assert len({answer.content for answer in theirs}) == 1
                assert theirs[0].json()["customer_id"] == customer
                assert await number_of_orders(database, customer) == 1


async def test_a_key_whose_order_was_one_too_many_is_free_on_every_replica(
    orders_url: str, broker_url: str, database: Database
) -> None:
    """The others wait for the key while the first one is refused. They must neither find it taken nor make two."""
    replicas = [
        load_main(DATABASE_URL=orders_url, RABBITMQ_URL=broker_url, MAX_OPEN_ORDERS_PER_CUSTOMER="1") for _ in range(2)
    ]
    customer, key = str(uuid4()), a_key()
    body = order_body(customer_id=customer)
    async with running(replicas[0]) as one, running(replicas[1]) as two:
        first = await one.post("/orders", json=body)
        answers = await asyncio.gather(
            *(client.post("/orders", json=body, headers=key) for _ in range(10) for client in (one, two))
        )
        for answer in answers:
            assert_problem(answer, 429, "too-many-open-orders")
            assert int(answer.headers["Retry-After"]) > 0
        await one.delete(first.headers["Location"])
        answers = await asyncio.gather(
            *(client.post("/orders", json=body, headers=key) for _ in range(10) for client in (one, two))
        )
    assert [replayed(answer) for answer in answers].count(False) == 1
    assert await number_of_orders(database, customer) == 2


async def test_many_keys_at_once_never_lock_the_replicas_up(
    service: httpx.AsyncClient, orders_url: str, broker_url: str, database: Database
) -> None:
    customer, keys = str(uuid4()), [a_key() for _ in range(30)]
    body = order_body(customer_id=customer)
    async with running(load_main(DATABASE_URL=orders_url, RABBITMQ_URL=broker_url)) as replica:
        answers = await asyncio.gather(
            *(service.post("/orders", json=body, headers=key) for key in keys),
            *(replica.post("/orders", json=body, headers=key) for key in reversed(keys)),
        )
    assert {answer.status_code for answer in answers} == {201}
    assert await number_of_orders(database, customer) == len(keys)


async def test_of_two_bodies_under_one_key_one_is_taken(service: httpx.AsyncClient, database: Database) -> None:
    customer, key = str(uuid4()), a_key()
    bodies = [order_body(customer_id=customer, quantity=quantity) for quantity in (1, 2)]
    answers = await asyncio.gather(
        *(service.post("/orders", json=body, headers=key) for _ in range(10) for body in bodies)
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [422] * 10
    assert await number_of_orders(database, customer) == 1


async def test_a_key_that_was_kept_before_migration_0003_is_replayed(
    service: httpx.AsyncClient, database: Database
) -> None:
    """The digest is one that the code of that time has made of this very order."""
    body, key = order_body(customer_id="5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11"), a_key()
    first = await service.post("/orders", json=body, headers=key)
    digest = bytes.fromhex("38829f3651a6f08fce6c5b17b5bd287b814cd10a0c28d304f87b155c3e501cf1")
    async with database.autocommit() as connection:
        kept = text("UPDATE idempotency_keys SET request_fingerprint = :digest WHERE key = :key")
        await connection.execute(kept, {"digest": digest, "key": key["Idempotency-Key"]})

    again = await service.post("/orders", json=body, headers=key)
    assert replayed(again)
    assert again.content == first.content
    other = body | {"items": [body["items"][0] | {"price": 20}]}
    assert_problem(await service.post("/orders", json=other, headers=key), 422, "idempotency-key-reused")


async def test_code_of_before_migration_0003_takes_the_new_table_for_an_outage(database: Database) -> None:
    """Which its caller gets as a 503: while an update is under way it must make no order that new code would not find.
    The statement is that code's own."""
    claim = text(
        """
        INSERT INTO idempotency_keys AS known (key, fingerprint, resource_id)
        SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:fingerprints AS bytea[]), CAST(:resources AS uuid[]))
            AS c (key)
        ORDER BY c.key
        ON CONFLICT (key) DO UPDATE
            SET fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, created_at = now()
            WHERE known.created_at < now() - make_interval(hours => :hours)
        """
    )
    async with database.autocommit() as connection:
        with pytest.raises(Interrupted):
            await connection.execute(claim, {"keys": ["k"], "fingerprints": [b""], "resources": [uuid4()], "hours": 24})
