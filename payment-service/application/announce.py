"""Tells the world what happened to a payment."""

from application.ports import PaymentUnit
from domain.payment import Payment


def announce(payment: Payment, unit: PaymentUnit) -> None:
    """Publishes the payment's events."""
    for event in payment.events:
        unit.publish(event, payment.traceparent)
    payment.events.clear()
