"""The saga's events, as the page knows them: who says each, who reads it, and whom an order waits for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LANES = ORDER, INVENTORY, PAYMENT, NOTIFICATION = (
    "order-service",
    "inventory-service",
    "payment-service",
    "notification-service",
)

READERS: Mapping[str, tuple[str, ...]] = {
    "OrderCreated": (INVENTORY,),
    "InventoryReserved": (ORDER, PAYMENT),
    "InventoryUnavailable": (ORDER, NOTIFICATION),
    "OrderConfirmed": (NOTIFICATION,),
    "PaymentProcessed": (ORDER, NOTIFICATION),
    "PaymentFailed": (ORDER, NOTIFICATION),
    "OrderCompleted": (INVENTORY, NOTIFICATION),
    "OrderFailed": (INVENTORY, PAYMENT, NOTIFICATION),
    "OrderCancelled": (INVENTORY, PAYMENT, NOTIFICATION),
    "InventoryReleased": (ORDER,),
    "PaymentRefunded": (ORDER, NOTIFICATION),
}
DECISIONS = {"OrderCompleted": "completed", "OrderFailed": "failed", "OrderCancelled": "cancelled"}
UNDOING = {"InventoryReleased", "PaymentRefunded"}
FAILURES = {"InventoryUnavailable", "PaymentFailed", "OrderFailed"}
_PUBLISHERS = {"Order": ORDER, "Inventory": INVENTORY, "Payment": PAYMENT}


def publisher(name: str) -> str:
    return next((lane for word, lane in _PUBLISHERS.items() if name.startswith(word)), "")


def kind(name: str) -> str:
    """How it is drawn: what undoes, what failed, what an order ends with, or a step."""
    if name in UNDOING:
        return "undoing"
    if name in FAILURES:
        return "failure"
    return "end" if name in DECISIONS else "step"


def status(names: Collection[str]) -> str:
    """An order's status after these events, whatever their order was."""
    for name, decided in DECISIONS.items():
        if name in names:
            return decided
    return "confirmed" if "OrderConfirmed" in names else "pending"


def waits_for(names: Collection[str]) -> str:
    """The lane whose turn it is after these events, whatever their order was; empty if nothing is to come."""
    if "OrderCompleted" in names:
        return ""
    if "OrderFailed" in names or "OrderCancelled" in names:
        if "InventoryReserved" in names and "InventoryReleased" not in names:
            return INVENTORY
        return PAYMENT if "PaymentProcessed" in names and "PaymentRefunded" not in names else ""
    if not FAILURES.isdisjoint(names) or "PaymentProcessed" in names:
        return ORDER
    return PAYMENT if "InventoryReserved" in names else INVENTORY


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    name: str
    source: str
    order_id: str
    at: float
    """When it was said, in seconds since the epoch."""
    repeat: bool
    """The publisher had said the same before, and got no answer."""
    trace_id: str | None
    data: Mapping[str, Any]

    @property
    def reason(self) -> str | None:
        return _text(self.data.get("reason"))

    @property
    def customer_id(self) -> str | None:
        return _text(self.data.get("customer_id"))

    @property
    def amount(self) -> float | None:
        amount = self.data.get("total_amount")
        return float(amount) if isinstance(amount, int | float) else None


def read(document: Any) -> Event | None:
    """The event that a CloudEvents document is, or None if it isn't one of the saga's."""
    match document:
        case {"id": str(id_), "type": str(name), "source": str(source), "subject": str(order_id), "time": str(time)}:
            data = document.get("data")
            if name not in READERS or not isinstance(data, dict):
                return None
            try:
                at = datetime.fromisoformat(time).timestamp()
            except ValueError:
                return None
            trace = _text(document.get("traceparent")) or ""
            repeat = document.get("repeat") is True
            return Event(id_[:36], name, source[:60], order_id[:36], at, repeat, trace[3:35] or None, data)
    return None


def order_of(document: object) -> str:
    """The order that a document is about; empty if it is none."""
    subject = document.get("subject") if isinstance(document, dict) else None
    return subject if isinstance(subject, str) else ""


def _text(value: object) -> str | None:
    return value[:100] if isinstance(value, str) else None
