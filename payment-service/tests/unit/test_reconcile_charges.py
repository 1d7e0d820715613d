"""Charges that the gateway reports and a restored database has forgotten."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from chassis.ports.ids import uuid7

from application.reconcile_charges import ReconcileCharge, reconcile_charges
from domain.events import PaymentRefunded
from domain.payment import Status, payment_id
from infrastructure.unit_of_work import PAYMENTS
from tests.gateway import FakeGateway
from tests.messages import AMOUNT, CUSTOMER, TRACEPARENT, a_payment, reserved, undone
from tests.till import Till

LOST = "lost-in-restore"


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def till(gateway: FakeGateway) -> Till:
    return Till(gateway)


def reported(till: Till, order_id: UUID | None = None, of_payment: UUID | None = None) -> ReconcileCharge:
    order_id = order_id or uuid7()
    return ReconcileCharge(
        of_payment or payment_id(order_id), order_id, CUSTOMER, AMOUNT, "USD", LOST, till.units.now, TRACEPARENT
    )


async def reconcile(till: Till, *charges: ReconcileCharge) -> list[bool]:
    return await till.units.run(reconcile_charges, charges)


def test_a_payment_has_the_same_id_whenever_it_is_opened() -> None:
    """A UUIDv7 that sorts as its order does, and is the same in every version of this service for ever."""
    order_id = UUID("0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001")
    assert payment_id(order_id) == UUID("0198c5f0-7d2a-7f67-82b0-242ac4f8cfd4")
    assert payment_id(order_id).version == 7
    assert len({payment_id(uuid7()) for _ in range(1000)}) == 1000


async def test_after_a_restore_the_gateway_is_asked_under_the_keys_that_it_knows(
    till: Till, gateway: FakeGateway
) -> None:
    order = reserved()
    await till.take(order)
    till.units.server.rows("payments").clear()  # the database is restored from before
    await till.take(order)
    first, again = gateway.asked
    assert (first.idempotency_key, first.payment_id) == (again.idempotency_key, again.payment_id)


async def test_a_forgotten_charge_is_given_back_and_said_so(till: Till, gateway: FakeGateway) -> None:
    charge = reported(till)

    assert await reconcile(till, charge) == [True]
    assert till.payment(charge.order_id).status is Status.REFUNDING
    events = await till.charge()

    assert gateway.charge_numbers == ["refund"]
    assert events == [PaymentRefunded(charge.order_id, CUSTOMER, charge.payment_id, AMOUNT, "USD", LOST)]
    payment = till.payment(charge.order_id)
    assert (payment.status, payment.reason, payment.attempts) == (Status.REFUNDED, LOST, 0)


async def test_a_charge_that_comes_twice_is_given_back_once(till: Till, gateway: FakeGateway) -> None:
    charge = reported(till)
    assert await reconcile(till, charge, charge) == [True, False]
    await till.charge()
    assert await reconcile(till, charge) == [False]
    await till.charge()
    assert gateway.charge_numbers == ["refund"]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.NEW])
async def test_only_a_payment_that_knows_of_no_charge_takes_one_in(till: Till, status: Status) -> None:
    payment = a_payment(status, till.units.now)
    await till.units.put(PAYMENTS, payment)
    forgotten = status in (Status.VOID, Status.CANCELLED, Status.FAILED)

    assert await reconcile(till, reported(till, payment.order_id)) == [forgotten]

    assert till.payment(payment.order_id).status is (Status.REFUNDING if forgotten else status)


async def test_a_charge_of_a_payment_that_is_not_ours_is_left_to_people(till: Till) -> None:
    cancelled = a_payment(Status.CANCELLED, till.units.now)
    await till.units.put(PAYMENTS, cancelled)
    unknown, known = [reported(till, order_id, of_payment=uuid4()) for order_id in (None, cancelled.order_id)]
    assert await reconcile(till, unknown, known) == [False, False]
    assert till.statuses == {"cancelled": 1}


async def test_what_the_order_service_says_later_changes_nothing(till: Till, gateway: FakeGateway) -> None:
    order = reserved(expires_at=till.units.now + timedelta(minutes=15))
    await reconcile(till, reported(till, order.order_id))
    assert await till.take(order, undone(order, LOST)) == []
    await till.charge()
    assert till.payment(order.order_id).status is Status.REFUNDED
    assert gateway.charge_numbers == ["refund"]
