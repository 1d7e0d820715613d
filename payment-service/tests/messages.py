"""What the tests send to the service, and the payments that they begin with."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from chassis.ports.ids import uuid7

from application.messages import InventoryReserved, OrderUndone
from domain.attempt import Attempt, Kind
from domain.payment import Payment, Status

CUSTOMER = UUID("5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11")
AMOUNT = Decimal("39.98")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def reserved(
    *, order_id: UUID | None = None, expires_at: datetime | None = None, customer_id: UUID = CUSTOMER
) -> InventoryReserved:
    deadline = expires_at or datetime.now(UTC) + timedelta(minutes=15)
    return InventoryReserved(order_id or uuid4(), customer_id, AMOUNT, "USD", deadline)


def undone(order: InventoryReserved, reason: str = "cancelled-by-customer") -> OrderUndone:
    return OrderUndone(order.order_id, order.customer_id, reason, order.expires_at)


def a_payment(status: Status, now: datetime) -> Payment:
    """A payment as it is in that state; while processing, its outcome is unknown."""
    payment = Payment.new(uuid7(), CUSTOMER, now + timedelta(minutes=15), TRACEPARENT, now)
    payment.status = status
    payment.outcome_unknown = status is Status.PROCESSING
    payment.undone_reason = "expired" if status is Status.REFUNDING else None
    if status not in (Status.NEW, Status.VOID):
        payment.amount, payment.currency = AMOUNT, "USD"
    return payment


def an_attempt(customer_id: UUID = CUSTOMER, kind: Kind = Kind.CHARGE, key: str | None = None) -> Attempt:
    return Attempt(kind, key or f"{uuid4()}:1", uuid4(), uuid4(), customer_id, AMOUNT, "USD", uuid4(), TRACEPARENT)
