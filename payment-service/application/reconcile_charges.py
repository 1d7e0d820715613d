"""Refunds charges for undone orders that a restore from a backup lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from application.ports import PaymentUnit
from domain.payment import Payment, payment_id


@dataclass(frozen=True, slots=True)
class ReconcileCharge:
    """A charge as the gateway reports it, and what the order service knows of its order."""

    payment_id: UUID
    order_id: UUID
    customer_id: UUID
    amount: Decimal
    currency: str
    undone_reason: str
    expires_at: datetime
    traceparent: str


async def reconcile_charges(charges: Sequence[ReconcileCharge], unit: PaymentUnit) -> list[bool]:
    """For each charge whether it is entered, to be refunded: not if it is known, or of another payment of the order."""
    payments = await unit.payments.locked([charge.order_id for charge in charges])
    results = []
    for charge in charges:
        payment = payments.get(charge.order_id)
        if payment is None and charge.payment_id == payment_id(charge.order_id):
            payment = payments[charge.order_id] = unit.payments.add(
                Payment.new(charge.order_id, charge.customer_id, charge.expires_at, charge.traceparent, unit.now)
            )
        results.append(
            payment is not None
            and payment.id == charge.payment_id
            and payment.enter_charge(charge.amount, charge.currency, charge.undone_reason, unit.now)
        )
    return results
