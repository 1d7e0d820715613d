"""Opens a payment for every order whose stock is held, and undoes the payments of orders that are undone."""

from collections.abc import Sequence
from datetime import datetime

from chassis.ports.events import Received

from application.charge_payments import ChargePayments
from application.messages import InventoryReserved, OrderUndone
from application.ports import PaymentUnit
from domain.payment import Payment, Status


class HandleEvents:
    def __init__(self, charge_payments: ChargePayments) -> None:
        self._charge_payments = charge_payments

    async def __call__(self, events: Sequence[Received], unit: PaymentUnit) -> None:
        """The first attempt begins in the transaction that opens the payment, if a call of the gateway may begin."""
        payments = await unit.payments.locked([event.data.order_id for event in events])
        due: dict[Payment, None] = {}
        for event in events:
            order_id = event.data.order_id
            if order_id not in payments:
                new = Payment.new(order_id, event.data.customer_id, event.data.expires_at, event.traceparent, unit.now)
                payments[order_id] = unit.payments.add(new)
            payment = payments[order_id]
            if _follow(payment, event.data, unit.now):
                due[payment] = None
            elif not _answer(payment, event.data):
                unit.unchanged(event)
        self._charge_payments.begin_new([payment for payment in due if payment.awaits_attempt], unit)


def _follow(payment: Payment, data: object, now: datetime) -> bool:
    """Does what the event asks for. False if the event came twice or late, so that nothing is left to do."""
    match data:
        case InventoryReserved() if payment.status is Status.NEW:
            payment.open(data.total_amount, data.currency, now)
            return True
        case OrderUndone():
            return payment.undo(data.reason, now)
    return False


def _answer(payment: Payment, data: object) -> bool:
    """Repeats the event's outcome, which its sender seems not to know. False if there is none to repeat."""
    match data, payment.status:
        case (InventoryReserved(), Status.COMPLETED | Status.FAILED) | (OrderUndone(), Status.REFUNDED):
            return payment.repeat()
    return False
