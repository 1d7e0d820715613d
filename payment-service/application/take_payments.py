"""Opens a payment for every order whose stock is held, and undoes the payments of orders that are undone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.ports.events import Received
from chassis.ports.tracing import new_traceparent
from chassis.ports.unit_of_work import announce

from application.charge_due import ChargeDue
from application.messages import InventoryReserved
from application.ports import PaymentUnit
from domain.payment import Payment, Status


class TakePayments:
    def __init__(self, charge_due: ChargeDue) -> None:
        self._charge_due = charge_due

    async def __call__(self, events: Sequence[Received], unit: PaymentUnit) -> None:
        """The first attempt begins in the transaction that opens the payment, as far as there is room for it."""
        payments = await unit.payments.locked([event.data.order_id for event in events])
        new: dict[UUID, Payment] = {}
        for event in events:
            if event.data.order_id not in payments:
                new.setdefault(event.data.order_id, _new_payment(event, unit.now))
        payments |= new
        changed: dict[Payment, None] = {}
        for event in events:
            payment = payments[event.data.order_id]
            if _follow(payment, event.data, unit):
                changed[payment] = None
            elif not _answer(payment, event.data):
                unit.unchanged(event)
        self._charge_due.begin([payment for payment in changed if _is_due(payment)], unit)
        await unit.payments.add([payment for payment in changed if payment.order_id in new])
        await unit.payments.save([payment for payment in changed if payment.order_id not in new])
        for payment in payments.values():
            announce(payment, unit)


def _new_payment(event: Received, now: datetime) -> Payment:
    data: Any = event.data
    return Payment.new(data.order_id, data.customer_id, data.expires_at, event.traceparent or new_traceparent(), now)


def _follow(payment: Payment, message: Any, unit: PaymentUnit) -> bool:
    """Does what the message asks for; False if it came twice or late, and asks for nothing any more."""
    if not isinstance(message, InventoryReserved):
        return payment.undo(message.reason, unit.now)
    if payment.status is not Status.NEW:
        return False
    payment.open(message.total_amount, message.currency, unit.now)
    return True


def _answer(payment: Payment, message: Any) -> bool:
    """Says again how the payment ended: the message's sender has not heard of it. False if there is nothing to be said,
    because the payment is under way, or was undone before it ended."""
    ends = {Status.COMPLETED, Status.FAILED} if isinstance(message, InventoryReserved) else {Status.REFUNDED}
    return payment.status in ends and payment.repeat()


def _is_due(payment: Payment) -> bool:
    return payment.status in (Status.PENDING, Status.REFUNDING) and payment.lease is None
