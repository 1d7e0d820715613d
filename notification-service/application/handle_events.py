"""Tells customers what happens to their orders."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chassis.ports.events import Received

from application.ports import NotificationUnit
from application.send_notifications import SendNotification

_REASONS = {
    "out-of-stock": "a product is out of stock",
    "unknown-product": "a product is not sold here",
    "price-changed": "a product has another price by now",
    "no-price": "a product has no price yet",
    "payment-declined": "the payment was declined",
    "payment-retries-exhausted": "the payment did not go through",
    "expired": "it was not finished in time",
}


class HandleEvents:
    def __init__(self, send: Callable[[SendNotification], Awaitable[object]]) -> None:
        self._send = send

    async def __call__(self, events: Sequence[Received], unit: NotificationUnit) -> None:
        for event in events:
            if event.repeat:
                continue  # a repeat is meant for a service that lost the event; the customer knows it already
            subject, message = message_about(event.type, event.data)
            await self._send(SendNotification(event.data.customer_id, subject, message, event.traceparent))
            unit.told(event)


def message_about(name: str, data: Any) -> tuple[str, str]:
    """The subject and the text for a customer."""
    order = f"Your order {data.order_id}"
    match name:
        case "OrderConfirmed":
            return "Order confirmed", f"{order} is confirmed: everything you ordered is set aside for you."
        case "OrderCompleted":
            return "Order completed", f"{order} is complete. Thank you!"
        case "OrderCancelled":
            return "Order cancelled", f"{order} was cancelled, as you asked. If you have paid, you get the money back."
        case "OrderFailed":
            return "Order failed", f"{order} could not be completed: {_in_words(data.reason)}{_missing(data)}."
        case "InventoryUnavailable":
            return "Not available", f"{order} can't be delivered: {_in_words(data.reason)}{_missing(data)}."
        case "PaymentProcessed":
            return "Payment received", f"{order} is paid: {_money(data)}."
        case "PaymentFailed":
            return "Payment failed", f"{order} is not paid: {_in_words(data.reason)}. You were not charged."
        case "PaymentRefunded":
            return "Payment refunded", f"{order} is undone, and you get {_money(data)} back."
    raise TypeError(f"{name} is not told to customers")


def _in_words(reason: str) -> str:
    return _REASONS.get(reason, reason.replace("-", " "))


def _missing(data: Any) -> str:
    short = ", ".join(f"{each.missing} of {each.product_id}" for each in data.shortages)
    return short and f" (missing: {short})"


def _money(data: Any) -> str:
    return f"{data.amount:.2f} {data.currency}"
