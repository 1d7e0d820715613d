"""Many workers on one database: each payment is asked for by one at a time, and what a dead one left is taken over."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from chassis.postgres.database import Database
from chassis.testing import eventually
from sqlalchemy import text

from application.messages import InventoryReserved
from domain.attempt import Answer, Kind
from infrastructure import gateway_calls
from tests.gateway import FakeGateway
from tests.integration.worker import Worker
from tests.messages import reserved, undone

ORDERS = 60


async def open_payments(worker: Worker, orders: Sequence[InventoryReserved]) -> None:
    """Payments that nobody has begun to ask for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway_calls, "MAX_CALLS", 0)
        await worker.take(*orders)


async def statuses(worker: Worker) -> Counter[str]:
    rows = await worker.execute("SELECT status, count(*) FROM payments GROUP BY status")
    return Counter({row[0]: row[1] for row in rows})


async def published(worker: Worker) -> Counter[str]:
    """What was said for the first time."""
    rows = await worker.execute(
        "SELECT type, count(*) FROM outbox WHERE body::jsonb ->> 'repeat' IS NULL GROUP BY type"
    )
    return Counter({row[0]: row[1] for row in rows})


async def lose_leases(worker: Worker) -> None:
    await worker.execute("UPDATE payments SET due_at = now() - interval '1 second' WHERE lease IS NOT NULL")


async def test_workers_that_claim_at_the_same_time_never_ask_twice(worker: Worker, database: Database) -> None:
    await open_payments(worker, [reserved() for _ in range(ORDERS)])
    gateway = FakeGateway()
    workers = [Worker(database, gateway) for _ in range(4)]
    await asyncio.gather(*(worker.charge() for worker in workers * 3))
    await asyncio.gather(*(worker.calls.stop() for worker in workers))
    keys = Counter(attempt.idempotency_key for attempt in gateway.asked)
    assert (len(keys), set(keys.values())) == (ORDERS, {1})
    assert await statuses(worker) == {"completed": ORDERS}
    assert await published(worker) == {"PaymentProcessed": ORDERS}


async def test_while_the_gateway_is_asked_nothing_is_locked_and_no_transaction_is_open(
    worker: Worker, database: Database
) -> None:
    gateway = FakeGateway()
    gateway.stick()
    worker = Worker(database, gateway)
    await worker.take(reserved())
    await eventually(lambda: gateway.asked)
    open_transactions = await worker.execute(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    assert open_transactions == []
    async with database.autocommit() as connection:
        await connection.execute(text("SELECT 1 FROM payments FOR UPDATE NOWAIT"))
    gateway.answer()
    await worker.calls.stop()
    assert await statuses(worker) == {"completed": 1}


async def test_what_a_dead_worker_asked_is_asked_again_under_the_same_key(worker: Worker, database: Database) -> None:
    dead, alive = FakeGateway(), FakeGateway()
    dead.stick()
    orders = [reserved() for _ in range(5)]
    given_up = Worker(database, dead)
    await given_up.take(*orders)
    await eventually(lambda: len(dead.asked) == 5)
    survivor = Worker(database, alive)
    await survivor.charge()
    assert alive.asked == [], "the leases have not run out"
    await lose_leases(worker)
    await survivor.charge()
    await survivor.calls.stop()
    assert sorted(a.idempotency_key for a in alive.asked) == sorted(a.idempotency_key for a in dead.asked)
    assert await statuses(worker) == {"completed": 5}

    dead.answer()  # it was only slow: what it heard counts no more
    await given_up.calls.stop()
    await survivor.charge()
    assert await published(worker) == {"PaymentProcessed": 5}
    assert [row[0] for row in await worker.execute("SELECT attempts FROM payments")] == [2] * 5


async def test_answers_of_slow_workers_and_of_those_who_took_over_count_once(
    worker: Worker, database: Database
) -> None:
    slow, quick = FakeGateway(Answer.ERROR), FakeGateway(Answer.ERROR)
    slow.stick()
    quick.stick()
    workers = [Worker(database, slow), Worker(database, quick)]
    await workers[0].take(*(reserved() for _ in range(10)))
    await lose_leases(worker)
    await workers[1].charge()
    await eventually(lambda: len(quick.asked) == 10)
    slow.answer()
    quick.answer()
    await asyncio.gather(*(worker.calls.stop() for worker in workers))
    assert await worker.execute("SELECT DISTINCT charge_number, attempts, outcome_unknown FROM payments") == [
        (2, 2, False)
    ]


async def test_an_order_that_comes_many_times_at_once_is_charged_once(worker: Worker, database: Database) -> None:
    gateway = FakeGateway()
    workers = [Worker(database, gateway) for _ in range(4)]
    orders = [reserved() for _ in range(10)]
    await asyncio.gather(*(worker.take(*random.Random(n).sample(orders, 10)) for n, worker in enumerate(workers * 2)))
    await asyncio.gather(*(worker.calls.stop() for worker in workers))
    assert len(gateway.asked) == 10
    assert await published(worker) == {"PaymentProcessed": 10}


async def test_an_order_undone_while_it_is_charged_keeps_no_money(worker: Worker, database: Database) -> None:
    """The cancel comes at a moment of its own for each: before, in, and after the attempt."""
    gateway = FakeGateway()
    workers = [Worker(database, gateway) for _ in range(2)]
    orders = [reserved() for _ in range(30)]
    messages: list[object] = [*orders, *(undone(order) for order in orders)]
    random.Random(7).shuffle(messages)
    await asyncio.gather(*(workers[number % 2].take(message) for number, message in enumerate(messages)))

    async def all_final() -> bool:
        for worker in workers:
            await worker.charge()
            await worker.calls.stop()
        return not await worker.execute("SELECT 1 FROM payments WHERE due_at IS NOT NULL AND status <> 'void'")

    await eventually(all_final)
    ends = await statuses(worker)
    assert ends.keys() <= {"void", "cancelled", "refunded"}
    assert ends.total() == 30
    assert (await published(worker))["PaymentRefunded"] == ends["refunded"]
    charges = Counter(attempt.kind for attempt in gateway.asked)
    assert charges[Kind.CHARGE] == charges[Kind.REFUND] == ends["refunded"]
