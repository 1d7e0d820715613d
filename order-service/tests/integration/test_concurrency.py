"""Transactions that meet: the row lock makes one of them wait, and what it then sees is the truth."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from chassis.postgres.database import Database
from chassis.runtime.reminders import MAX_REMINDERS_A_SECOND
from chassis.testing import eventually, received
from chassis.testing.running import running
from sqlalchemy import text

from application.cancel_orders import CancelOrder, cancel_orders
from application.expire_orders import expire_orders
from application.handle_events import handle_events
from domain.errors import IllegalTransition
from domain.order import Order, Status
from tests.builders import an_order
from tests.facts import paid, reserved
from tests.integration.conftest import Units
from tests.running import ask_again, load_main
from tests.shop import order_body

ROUNDS = 25
PROCESSES = 4


async def placed(units: Units, number: int, *, ago: timedelta = timedelta(0)) -> list[UUID]:
    async with units() as unit:
        await unit.start()
        orders = [unit.orders.add(an_order(now=unit.now - ago)) for _ in range(number)]
        await unit.commit()
    return [order.id for order in orders]


async def loaded(units: Units, ids: Sequence[UUID]) -> dict[UUID, Order]:
    async with units() as unit:
        return await unit.orders.get(ids)


async def is_waiting_for_a_lock(database: Database) -> bool:
    async with database.autocommit() as connection:
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool((await connection.execute(waiting)).scalar_one())


@pytest.mark.parametrize("replicas", [1, 2])
async def test_a_customer_who_orders_everywhere_at_once_gets_at_most_the_limit_from_each_replica(
    orders_url: str, broker_url: str, replicas: int
) -> None:
    """Within a replica batches follow one another, so each counts what the last one has committed; between replicas
    nothing waits (decision 30)."""
    limit, customer = 5, str(uuid4())
    main = [
        load_main(DATABASE_URL=orders_url, RABBITMQ_URL=broker_url, MAX_OPEN_ORDERS_PER_CUSTOMER=str(limit))
        for _ in range(replicas)
    ]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(running(one)) for one in main]
        answers = await asyncio.gather(
            *(client.post("/orders", json=order_body(customer_id=customer)) for _ in range(20) for client in clients)
        )
        accepted = [answer for answer in answers if answer.status_code == 201]
        assert {answer.status_code for answer in answers} == {201, 429}
        assert limit <= len(accepted) <= limit * replicas
        for client in clients:
            assert (await client.post("/orders", json=order_body(customer_id=customer))).status_code == 429


async def test_the_second_transaction_waits_for_the_first_and_sees_what_it_did(
    units: Units, database: Database
) -> None:
    [order_id] = await placed(units, 1)
    async with units() as first, units() as second:
        await first.start()
        await second.start()
        assert isinstance((await cancel_orders([CancelOrder(order_id)], first))[0], Order)
        settling = asyncio.create_task(handle_events([received(paid(order_id))], second))
        await eventually(lambda: is_waiting_for_a_lock(database))
        assert not settling.done()
        await first.commit()
        await settling
        await second.commit()

    assert (await loaded(units, [order_id]))[order_id].status is Status.CANCELLED


async def test_a_cancel_that_races_a_payment_has_one_winner(units: Units, database: Database) -> None:
    ids = await placed(units, ROUNDS)

    async def pay(order_id: UUID) -> None:
        async with units() as unit:
            await unit.start()
            await asyncio.sleep(random.uniform(0, 0.005))
            await handle_events([received(paid(order_id))], unit)
            await unit.commit()

    async def cancel(order_id: UUID) -> Order | Exception:
        async with units() as unit:
            await unit.start()
            await asyncio.sleep(random.uniform(0, 0.005))
            [result] = await cancel_orders([CancelOrder(order_id)], unit)
            await unit.commit()
        return result

    answers = [(await asyncio.gather(cancel(order_id), pay(order_id)))[0] for order_id in ids]

    orders = await loaded(units, ids)
    async with database.autocommit() as connection:
        query = text("SELECT order_id, type FROM outbox WHERE body::jsonb ->> 'repeat' IS NULL ORDER BY id")
        told = {UUID(row.order_id): row.type for row in await connection.execute(query)}
    for order_id, answer in zip(ids, answers, strict=True):
        order = orders[order_id]
        assert order.status is (Status.CANCELLED if isinstance(answer, Order) else Status.COMPLETED)
        assert isinstance(answer, Order | IllegalTransition)
        assert told[order_id] == {"cancelled": "OrderCancelled", "completed": "OrderCompleted"}[order.status]
        assert [entry.status for entry in order.timeline].count(order.status) == 1
        assert order.timeline[-1].status == order.status


async def test_a_timeline_never_runs_backwards_though_the_one_who_began_first_has_the_lock_last(units: Units) -> None:
    [order_id] = await placed(units, 1)
    async with units() as began_first, units() as began_last:
        await began_first.start()
        await began_last.start()
        assert began_first.now < began_last.now
        await handle_events([received(reserved(order_id))], began_last)
        await began_last.commit()
        await handle_events([received(paid(order_id))], began_first)
        await began_first.commit()

    order = (await loaded(units, [order_id]))[order_id]
    moments = [entry.at for entry in order.timeline]
    assert [entry.event for entry in order.timeline] == ["OrderCreated", "OrderConfirmed", "OrderCompleted"]
    assert moments == sorted(moments)
    assert order.updated_at == moments[-1]


async def test_transactions_over_the_same_orders_never_lock_each_other_up(units: Units) -> None:
    ids = await placed(units, 30)

    async def confirm_all() -> None:
        async with units() as unit:
            await unit.start()
            shuffled = random.sample(ids, len(ids))
            await handle_events([received(reserved(order_id)) for order_id in shuffled], unit)
            await unit.commit()

    await asyncio.gather(*(confirm_all() for _ in range(8)))

    for order in (await loaded(units, ids)).values():
        assert [entry.status for entry in order.timeline] == ["pending", "confirmed"]


async def test_the_deadline_leaves_an_order_that_another_transaction_holds(units: Units) -> None:
    held, free = await placed(units, 2, ago=timedelta(minutes=15))
    async with units() as paying, units() as expiring:
        await paying.start()
        await handle_events([received(paid(held))], paying)
        await expiring.start()
        await expire_orders(expiring)
        await expiring.commit()
        await paying.commit()

    orders = await loaded(units, [held, free])
    assert (orders[held].status, orders[free].status) == (Status.COMPLETED, Status.FAILED)
    assert orders[free].reason == "expired"


async def test_however_many_processes_ask_again_they_share_what_a_second_allows(units: Units) -> None:
    await placed(units, PROCESSES * MAX_REMINDERS_A_SECOND, ago=timedelta(minutes=1))  # each finds as many as it may

    async def process() -> tuple[int, int]:
        async with units() as unit:
            await unit.start()
            await ask_again(unit)
            await unit.commit()
        return int(unit.now.timestamp()), len(unit.reminders)

    said: Counter[int] = Counter()
    for second, number in await asyncio.gather(*(process() for _ in range(PROCESSES))):
        said[second] += number
    assert set(said.values()) == {MAX_REMINDERS_A_SECOND}
