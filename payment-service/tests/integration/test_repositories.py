"""One suite for the repository in memory and in PostgreSQL, so that the use cases' tests prove something of both."""

import asyncio
import random
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from chassis.ports.errors import Conflict
from chassis.testing import eventually

from domain.payment import Payment, Status
from tests.fakes import FakeStore
from tests.messages import AMOUNT, CUSTOMER, TRACEPARENT
from tests.postgres import PostgresStore

Store = FakeStore | PostgresStore
FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))


class RolledBack(Exception):
    pass


def new(order_id: UUID, now: datetime, status: Status = Status.VOID) -> Payment:
    payment = Payment.new(order_id, CUSTOMER, now + timedelta(minutes=15), TRACEPARENT, now)
    payment.status = status
    return payment


async def make(
    store: Store, *order_ids: UUID, status: Status = Status.PENDING, due_in: timedelta | None = None
) -> None:
    async with store.transaction() as unit:
        payments = [new(order_id, unit.now, status) for order_id in order_ids]
        for payment in payments:
            payment.amount, payment.currency = AMOUNT, "USD"
            payment.due_at = None if due_in is None else unit.now + due_in
        await unit.payments.add(payments)


async def read(store: Store, order_id: UUID) -> Payment:
    async with store.transaction() as unit:
        return (await unit.payments.locked([order_id]))[order_id]


@pytest.mark.parametrize("added_before", [False, True])
async def test_a_payment_comes_back_as_it_was_added_or_saved(store: Store, added_before: bool) -> None:
    if added_before:
        await make(store, FIRST)
    async with store.transaction() as unit:
        payment = (await unit.payments.locked([FIRST])).get(FIRST) or new(FIRST, unit.now)
        payment.status, payment.reason, payment.undone_reason = Status.PROCESSING, "why", "wherefore"
        payment.amount, payment.currency = Decimal("9999999999.99"), "EUR"
        payment.attempts, payment.charge_number, payment.waits = 7, 3, 4
        payment.outcome_unknown, payment.lease = True, uuid4()
        payment.due_at = payment.updated_at = unit.now + timedelta(microseconds=1)
        await (unit.payments.save([payment]) if added_before else unit.payments.add([payment]))
    found = await read(store, FIRST)
    for name in set(Payment.__slots__) - {"events"}:
        assert getattr(found, name) == getattr(payment, name), name


async def test_only_what_is_saved_is_changed(store: Store) -> None:
    await make(store, FIRST, SECOND)
    async with store.transaction() as unit:
        payments = await unit.payments.locked([FIRST, SECOND])
        for payment in payments.values():
            payment.attempts = 5
        await unit.payments.save([payments[FIRST]])
        await unit.payments.save([])
    assert [(await read(store, order_id)).attempts for order_id in (FIRST, SECOND)] == [5, 0]


async def test_a_payment_that_does_not_exist_is_left_out(store: Store) -> None:
    await make(store, FIRST)
    async with store.transaction() as unit:
        assert (await unit.payments.locked([FIRST, FIRST, SECOND])).keys() == {FIRST}


async def test_a_payment_that_exists_is_not_added_again_nor_those_beside_it(store: Store) -> None:
    await make(store, SECOND)

    async def again() -> None:
        async with store.transaction() as unit:
            await unit.payments.add([new(order_id, unit.now) for order_id in (FIRST, SECOND, THIRD)])

    with pytest.raises(Conflict):
        await again()
    async with store.transaction() as unit:
        payments = await unit.payments.locked([FIRST, SECOND, THIRD])
    assert {order_id: payment.status for order_id, payment in payments.items()} == {SECOND: Status.PENDING}


async def test_a_unit_waits_for_another_that_has_the_payment_and_sees_what_it_did(store: Store) -> None:
    await make(store, FIRST)

    async def second() -> Status:
        async with store.transaction() as unit:
            return (await unit.payments.locked([FIRST]))[FIRST].status

    async with store.transaction() as unit:
        payment = (await unit.payments.locked([FIRST]))[FIRST]
        waiting = asyncio.create_task(second())
        await eventually(store.someone_waits)
        assert not waiting.done()
        payment.status = Status.FAILED
        await unit.payments.save([payment])
    assert await waiting == Status.FAILED


@pytest.mark.parametrize("committed", [True, False])
async def test_of_two_units_that_add_the_same_payment_the_second_waits_and_is_run_again(
    store: Store, committed: bool
) -> None:
    """Unless the first one is rolled back: then it is the second that adds the payment."""

    async def second() -> None:
        async with store.transaction() as unit:
            assert await unit.payments.locked([FIRST]) == {}
            await unit.payments.add([new(FIRST, unit.now, Status.FAILED)])

    async def first() -> None:
        async with store.transaction() as unit:
            await unit.payments.add([new(FIRST, unit.now, Status.PENDING)])
            waiting.append(asyncio.create_task(second()))
            await eventually(store.someone_waits)
            if not committed:
                raise RolledBack

    waiting: list[asyncio.Task[None]] = []
    with suppress(RolledBack):
        await first()
    [result] = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(result, Conflict) == committed
    assert (await read(store, FIRST)).status == (Status.PENDING if committed else Status.FAILED)


async def test_units_that_want_the_same_payments_in_any_order_never_wait_in_a_circle(store: Store) -> None:
    order_ids = [uuid4() for _ in range(20)]

    async def work(seed: int) -> None:
        shuffled = random.Random(seed).sample(order_ids, 12)
        async with store.transaction() as unit:
            payments = await unit.payments.locked(shuffled)
            await unit.payments.add([new(order_id, unit.now) for order_id in shuffled if order_id not in payments])
            await unit.payments.save(list(payments.values()))

    results = await asyncio.gather(*(work(seed) for seed in range(20)), return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), Conflict}


async def test_a_unit_that_is_not_committed_leaves_nothing(store: Store) -> None:
    await make(store, FIRST)

    async def fail_at_the_end() -> None:
        async with store.transaction() as unit:
            payment = (await unit.payments.locked([FIRST, SECOND]))[FIRST]
            payment.begin_attempt(uuid4(), unit.now)
            await unit.payments.add([new(SECOND, unit.now)])
            await unit.payments.save([payment])
            raise RolledBack

    with pytest.raises(RolledBack):
        await fail_at_the_end()
    async with store.transaction() as unit:
        payments = await unit.payments.locked([FIRST, SECOND])
    assert {key: payment.status for key, payment in payments.items()} == {FIRST: Status.PENDING}


async def test_due_payments_come_oldest_first_whatever_the_gateway_is_to_be_asked(store: Store) -> None:
    await make(store, FIRST, status=Status.PENDING, due_in=timedelta(seconds=-1))
    await make(store, SECOND, status=Status.PROCESSING, due_in=timedelta(seconds=-2))
    await make(store, THIRD, status=Status.REFUNDING, due_in=timedelta(seconds=-3))
    await make(store, uuid4(), status=Status.PENDING, due_in=timedelta(minutes=1))
    await make(store, uuid4(), status=Status.COMPLETED, due_in=None)
    await make(store, uuid4(), status=Status.VOID, due_in=timedelta(seconds=-4))
    async with store.transaction() as unit:
        assert [payment.order_id for payment in await unit.payments.locked_due(10)] == [THIRD, SECOND, FIRST]
    async with store.transaction() as unit:
        assert [payment.order_id for payment in await unit.payments.locked_due(1)] == [THIRD]


async def test_a_payment_is_due_at_its_very_moment(store: Store) -> None:
    async with store.transaction() as unit:
        payment = new(FIRST, unit.now, Status.NEW)
        payment.open(AMOUNT, "USD", unit.now)
        assert payment.due_at == unit.now
        await unit.payments.add([payment])
    async with store.transaction() as unit:
        assert len(await unit.payments.locked_due(1)) == 1


async def test_due_payments_that_another_unit_has_are_left_to_it(store: Store) -> None:
    await make(store, FIRST, SECOND, THIRD, due_in=timedelta(seconds=-1))
    async with store.transaction() as one, store.transaction() as other:
        mine = [payment.order_id for payment in await one.payments.locked_due(2)]
        theirs = [payment.order_id for payment in await other.payments.locked_due(10)]
    assert len(mine) == 2
    assert sorted(mine + theirs) == [FIRST, SECOND, THIRD]


async def test_a_payment_is_read_by_its_id_and_by_its_order(store: Store) -> None:
    await make(store, FIRST, SECOND)
    async with store.reading() as payments:
        found = await payments.of_order(FIRST)
        assert found is not None
        assert (found.order_id, found.amount) == (FIRST, AMOUNT)
        by_id = await payments.get(found.id)
        assert by_id is not None
        assert by_id.order_id == FIRST
        assert await payments.of_order(THIRD) is None
        assert await payments.get(uuid4()) is None


async def test_a_tombstone_is_not_read(store: Store) -> None:
    await make(store, FIRST, status=Status.VOID)
    tombstone = await read(store, FIRST)
    async with store.reading() as payments:
        assert await payments.of_order(FIRST) is None
        assert await payments.get(tombstone.id) is None
