"""Many workers on one database: each payment is asked for by one at a time, and what a dead one left is taken over."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from application.charge_due import ChargeDue
from application.enter_answers import EnterAnswers
from application.take_payments import TakePayments
from chassis.ports.errors import Conflict
from chassis.ports.events import Received
from chassis.runtime.group_commit import Batcher
from chassis.testing import eventually, received
from sqlalchemy import text

from application import charge_due
from application.messages import InventoryReserved
from domain.attempt import Answer, Kind
from tests.fakes import FakeGateway
from tests.messages import reserved, undone
from tests.postgres import SERVICE, PostgresStore
from tests.till import RETRY_DELAYS

ORDERS = 60


class Worker:
    """A replica of the service: its own attempts, the common database."""

    def __init__(self, store: PostgresStore, gateway: FakeGateway) -> None:
        self.store = store
        settle = Batcher("enter_answers", store.units, EnterAnswers(RETRY_DELAYS))
        self.charge_due = ChargeDue(gateway, settle.submit)
        self.take_payments = TakePayments(self.charge_due)

    async def take(self, *messages: object) -> None:
        await self._take([received(message) for message in messages])

    async def _take(self, events: Sequence[Received]) -> None:
        """Once more after a conflict, as the consumer does."""
        try:
            async with self.store.units() as unit:
                await self.take_payments(await unit.take_in(SERVICE, events), unit)
                await unit.commit()
        except Conflict:
            await self._take(events)

    async def charge(self) -> None:
        async with self.store.transaction() as unit:
            await self.charge_due(unit)


async def open_payments(store: PostgresStore, orders: Sequence[InventoryReserved]) -> None:
    """Payments that nobody has begun to ask for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charge_due, "MAX_ATTEMPTS_IN_FLIGHT", 0)
        await Worker(store, FakeGateway()).take(*orders)


async def statuses(store: PostgresStore) -> Counter[str]:
    rows = await store.execute("SELECT status, count(*) FROM payments GROUP BY status")
    return Counter({row[0]: row[1] for row in rows})


async def published(store: PostgresStore) -> Counter[str]:
    """What was said for the first time."""
    rows = await store.execute("SELECT type, count(*) FROM outbox WHERE body::jsonb ->> 'repeat' IS NULL GROUP BY type")
    return Counter({row[0]: row[1] for row in rows})


async def lose_leases(store: PostgresStore) -> None:
    await store.execute("UPDATE payments SET due_at = now() - interval '1 second' WHERE lease IS NOT NULL")


async def test_workers_that_claim_at_the_same_time_never_ask_twice(postgres: PostgresStore) -> None:
    await open_payments(postgres, [reserved() for _ in range(ORDERS)])
    gateway = FakeGateway()
    workers = [Worker(postgres, gateway) for _ in range(4)]
    await asyncio.gather(*(worker.charge() for worker in workers * 3))
    await asyncio.gather(*(worker.charge_due.stop() for worker in workers))
    keys = Counter(attempt.idempotency_key for attempt in gateway.asked)
    assert (len(keys), set(keys.values())) == (ORDERS, {1})
    assert await statuses(postgres) == {"completed": ORDERS}
    assert await published(postgres) == {"PaymentProcessed": ORDERS}


async def test_while_the_gateway_is_asked_nothing_is_locked_and_no_transaction_is_open(
    postgres: PostgresStore,
) -> None:
    gateway = FakeGateway()
    gateway.stick()
    worker = Worker(postgres, gateway)
    await worker.take(reserved())
    await eventually(lambda: gateway.asked)
    open_transactions = await postgres.execute(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    assert open_transactions == []
    async with postgres.transaction() as unit:
        await unit.connection.execute(text("SELECT 1 FROM payments FOR UPDATE NOWAIT"))
    gateway.answer()
    await worker.charge_due.stop()
    assert await statuses(postgres) == {"completed": 1}


async def test_what_a_dead_worker_asked_is_asked_again_under_the_same_key(postgres: PostgresStore) -> None:
    dead, alive = FakeGateway(), FakeGateway()
    dead.stick()
    orders = [reserved() for _ in range(5)]
    given_up = Worker(postgres, dead)
    await given_up.take(*orders)
    await eventually(lambda: len(dead.asked) == 5)
    survivor = Worker(postgres, alive)
    await survivor.charge()
    assert alive.asked == [], "the leases have not run out"
    await lose_leases(postgres)
    await survivor.charge()
    await survivor.charge_due.stop()
    assert sorted(a.idempotency_key for a in alive.asked) == sorted(a.idempotency_key for a in dead.asked)
    assert await statuses(postgres) == {"completed": 5}

    dead.answer()  # it was only slow: what it heard counts no more
    await given_up.charge_due.stop()
    await survivor.charge()
    assert await published(postgres) == {"PaymentProcessed": 5}
    assert [row[0] for row in await postgres.execute("SELECT attempts FROM payments")] == [2] * 5


async def test_answers_of_slow_workers_and_of_those_who_took_over_count_once(postgres: PostgresStore) -> None:
    slow, quick = FakeGateway(Answer.ERROR), FakeGateway(Answer.ERROR)
    slow.stick()
    quick.stick()
    workers = [Worker(postgres, slow), Worker(postgres, quick)]
    await workers[0].take(*(reserved() for _ in range(10)))
    await lose_leases(postgres)
    await workers[1].charge()
    await eventually(lambda: len(quick.asked) == 10)
    slow.answer()
    quick.answer()
    await asyncio.gather(*(worker.charge_due.stop() for worker in workers))
    assert await postgres.execute("SELECT DISTINCT charge_number, attempts, outcome_unknown FROM payments") == [
        (2, 2, False)
    ]


async def test_an_order_that_comes_many_times_at_once_is_charged_once(postgres: PostgresStore) -> None:
    gateway = FakeGateway()
    workers = [Worker(postgres, gateway) for _ in range(4)]
    orders = [reserved() for _ in range(10)]
    await asyncio.gather(*(worker.take(*random.Random(n).sample(orders, 10)) for n, worker in enumerate(workers * 2)))
    await asyncio.gather(*(worker.charge_due.stop() for worker in workers))
    assert len(gateway.asked) == 10
    assert await published(postgres) == {"PaymentProcessed": 10}


async def test_an_order_undone_while_it_is_charged_keeps_no_money(postgres: PostgresStore) -> None:
    """The cancel comes at a moment of its own for each: before, in, and after the attempt."""
    gateway = FakeGateway()
    workers = [Worker(postgres, gateway) for _ in range(2)]
    orders = [reserved() for _ in range(30)]
    messages: list[object] = [*orders, *(undone(order) for order in orders)]
    random.Random(7).shuffle(messages)
    await asyncio.gather(*(workers[number % 2].take(message) for number, message in enumerate(messages)))

    async def all_final() -> bool:
        for worker in workers:
            await worker.charge()
            await worker.charge_due.stop()
        return not await postgres.execute("SELECT 1 FROM payments WHERE due_at IS NOT NULL AND status <> 'void'")

    await eventually(all_final)
    ends = await statuses(postgres)
    assert ends.keys() <= {"void", "cancelled", "refunded"}
    assert ends.total() == 30
    assert (await published(postgres))["PaymentRefunded"] == ends["refunded"]
    charges = Counter(attempt.kind for attempt in gateway.asked)
    assert charges[Kind.CHARGE] == charges[Kind.REFUND] == ends["refunded"]
