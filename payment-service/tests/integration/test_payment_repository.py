"""The queries of the payments' repository, on PostgreSQL and on its stand-in in memory, which the use cases' tests use.
What every repository does is tested in the chassis."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from chassis.testing.units import Units

from domain.attempt import Answer
from domain.payment import Payment, Status
from infrastructure.unit_of_work import PaymentUnitOfWork, PostgresPayments
from tests.integration.worker import Worker
from tests.messages import AMOUNT, a_payment

Open = Callable[[], AbstractAsyncContextManager[PaymentUnitOfWork]]
NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
CHANGES = {
    "amount": Decimal("9999999999.99"),
    "currency": "EUR",
    "status": Status.PROCESSING,
    "reason": "a reason",
    "attempts": 7,
    "charge_number": 3,
    "outcome_unknown": True,
    "waits": 4,
    "undone_reason": "expired",
    "due_at": NOON + timedelta(seconds=1),
    "lease": uuid4(),
    "updated_at": NOON + timedelta(days=1000),
}


STEPS: dict[Status, list[str]] = {
    Status.PENDING: ["open"],
    Status.PROCESSING: ["open", "error"],
    Status.COMPLETED: ["open", "done"],
    Status.FAILED: ["open", "declined"],
    Status.CANCELLED: ["open", "undo"],
    Status.REFUNDING: ["open", "done", "undo"],
    Status.REFUNDED: ["open", "done", "undo", "done"],
}
"""What happens to a payment until it is there: to it, or as the gateway's answers."""


@pytest.fixture(params=["memory", "postgres"])
def units(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":
        return Units(PaymentUnitOfWork)
    worker: Worker = request.getfixturevalue("worker")
    return worker.service.units


async def put(units: Open, *payments: Payment, due_in: timedelta | None = None) -> None:
    async with units() as unit:
        await unit.start()
        for payment in payments:
            payment.due_at = payment.due_at if due_in is None else unit.now + due_in
            unit.payments.add(payment)
        await unit.commit()


async def due(units: Open, limit: int) -> list[Payment]:
    async with units() as unit:
        await unit.start()
        return list(await unit.payments.locked_due(limit))


def known(payment: Payment | None) -> dict[str, object]:
    assert payment is not None
    return {field.name: getattr(payment, field.name) for field in fields(payment)}


@pytest.mark.parametrize("changed", [False, True], ids=["as added", "as changed"])
async def test_a_payment_comes_back_as_it_was_added_or_changed(units: Open, changed: bool) -> None:
    new = Payment.new(uuid4(), uuid4(), NOON, "a trace", NOON - timedelta(hours=1))
    new.status = Status.VOID
    payment = replace(new, **CHANGES)  # type: ignore[arg-type]
    await put(units, new if changed else payment)
    if changed:
        async with units() as unit:
            await unit.start()
            locked = (await unit.payments.locked([new.order_id]))[new.order_id]
            for name, value in CHANGES.items():
                setattr(locked, name, value)
            await unit.commit()
    async with units() as unit:
        assert known(await unit.payments.of_order(new.order_id)) == known(payment)


async def test_due_payments_come_oldest_first_whatever_the_gateway_is_to_be_asked(units: Open) -> None:
    ago = {Status.PENDING: 1, Status.PROCESSING: 2, Status.REFUNDING: 3, Status.VOID: 4}
    payments = {status: a_payment(status, NOON) for status in ago}
    for status, seconds in ago.items():
        await put(units, payments[status], due_in=timedelta(seconds=-seconds))
    await put(units, a_payment(Status.PENDING, NOON), due_in=timedelta(minutes=1))
    await put(units, a_payment(Status.COMPLETED, NOON))
    order = [payments[status].order_id for status in (Status.REFUNDING, Status.PROCESSING, Status.PENDING)]
    assert [payment.order_id for payment in await due(units, 10)] == order
    assert [payment.order_id for payment in await due(units, 1)] == order[:1]


async def test_due_payments_of_unknown_outcome_come_first_if_that_is_asked_for(units: Open) -> None:
    known_ones, unknown = [a_payment(Status.PENDING, NOON) for _ in range(3)], []
    for seconds, payment in enumerate(known_ones, start=10):
        await put(units, payment, due_in=timedelta(seconds=-seconds))
    for seconds in (1, 2):
        unknown.append(a_payment(Status.PROCESSING, NOON))
        await put(units, unknown[-1], due_in=timedelta(seconds=-seconds))
    await put(units, a_payment(Status.PROCESSING, NOON), due_in=timedelta(minutes=1))
    order = [payment.order_id for payment in [*reversed(unknown), *reversed(known_ones)]]
    for limit in (1, 2, 3, 5, 9):
        async with units() as unit:
            await unit.start()
            due = await unit.payments.locked_due(limit, unknown_first=True)
            assert [payment.order_id for payment in due] == order[:limit]


async def test_a_payment_is_due_at_its_very_moment(units: Open) -> None:
    payment = a_payment(Status.NEW, datetime.now(UTC))
    async with units() as unit:
        await unit.start()
        payment.open(AMOUNT, "USD", unit.now)
        assert payment.due_at == unit.now
        unit.payments.add(payment)
        await unit.commit()
    assert len(await due(units, 1)) == 1


async def test_due_payments_that_another_unit_has_are_left_to_it(units: Open) -> None:
    payments = [a_payment(Status.PENDING, NOON) for _ in range(3)]
    await put(units, *payments, due_in=timedelta(seconds=-1))
    async with units() as one, units() as other:
        await one.start()
        await other.start()
        mine = [payment.order_id for payment in await one.payments.locked_due(2)]
        theirs = [payment.order_id for payment in await other.payments.locked_due(10)]
    assert len(mine) == 2
    assert sorted(mine + theirs) == sorted(payment.order_id for payment in payments)


async def test_a_payment_is_read_by_its_id_and_by_its_order(units: Open) -> None:
    payment, other = a_payment(Status.PENDING, NOON), a_payment(Status.PENDING, NOON)
    await put(units, payment, other)
    async with units() as unit:
        for found in (await unit.payments.with_id(payment.id), await unit.payments.of_order(payment.order_id)):
            assert known(found) == known(payment)
        assert await unit.payments.of_order(uuid4()) is None
        assert await unit.payments.with_id(uuid4()) is None


async def test_a_tombstone_is_not_read(units: Open) -> None:
    tombstone = a_payment(Status.VOID, NOON)
    await put(units, tombstone)
    async with units() as unit:
        assert await unit.payments.of_order(tombstone.order_id) is None
        assert await unit.payments.with_id(tombstone.id) is None
        assert (await unit.payments.locked([tombstone.order_id])).keys() == {tombstone.order_id}


def test_the_key_of_a_payment_is_its_order() -> None:
    assert PostgresPayments.mapped.key == "order_id"


async def test_payments_are_listed_by_status_newest_orders_first_and_tombstones_never(units: Open) -> None:
    made = [lasting(status) for status in Status if status is not Status.NEW for _ in range(2)]
    await put(units, *made)
    newest_first = sorted(made, key=lambda payment: payment.id, reverse=True)
    for status in (None, *Status):
        wanted = [
            payment.id
            for payment in newest_first
            if payment.status is not Status.VOID and status in (None, payment.status)
        ]
        async with units() as unit:
            found = [payment.id for payment in await unit.payments.listed(status=status, before=None, limit=len(made))]
            assert found == wanted, status
            if found:
                below = await unit.payments.listed(status=status, before=found[0], limit=1)
                assert [payment.id for payment in below] == wanted[1:2]


def lasting(status: Status) -> Payment:
    """As such a payment is in the database, with what its index asks for."""
    payment = a_payment(status, NOON)
    if status in (Status.PENDING, Status.PROCESSING, Status.REFUNDING, Status.VOID):
        payment.due_at = NOON
    if status in (Status.FAILED, Status.CANCELLED, Status.REFUNDING, Status.REFUNDED):
        payment.reason = "a-reason"
    return payment


async def test_a_payment_in_any_status_has_what_the_index_of_its_list_asks_for() -> None:
    """Else the list would leave it out: by the domain's own steps, not by the rows of a test."""
    delays = (timedelta(seconds=1),)
    for reached, steps in STEPS.items():
        payment = Payment.new(uuid4(), uuid4(), NOON + timedelta(hours=1), "a trace", NOON)
        for step in steps:
            match step:
                case "open":
                    payment.open(AMOUNT, "USD", NOON)
                case "undo":
                    payment.undo("expired", NOON)
                case answer:
                    assert payment.apply(payment.begin_attempt(uuid4(), NOON), Answer(answer), delays, NOON)
        assert payment.status is reached
        due = reached in (Status.PENDING, Status.PROCESSING, Status.REFUNDING)
        undone = reached in (Status.FAILED, Status.CANCELLED, Status.REFUNDING, Status.REFUNDED)
        assert (payment.due_at is not None, payment.reason is not None) == (due, undone), reached
