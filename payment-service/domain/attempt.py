"""One call of the payment gateway, and its possible answers."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    CHARGE = "charge"
    REFUND = "refund"


class Answer(StrEnum):
    DONE = "done"
    DECLINED = "declined"
    """Not charged, for good."""
    ERROR = "error"
    """Not charged, but another attempt may succeed."""
    UNKNOWN = "unknown"
    """No answer came, so the customer may have been charged."""


@dataclass(frozen=True, slots=True)
class Attempt:
    kind: Kind
    idempotency_key: str
    payment_id: UUID
    order_id: UUID
    customer_id: UUID
    amount: Decimal
    currency: str
    lease: UUID
    """Identifies the attempt: its answer is stale once the payment has another lease."""
