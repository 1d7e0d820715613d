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
    """Not charged, and another attempt would be declined again."""
    ERROR = "error"
    """Definitely not charged, for a reason that may pass."""
    UNKNOWN = "unknown"
    """A time-out or a lost connection: nobody can tell yet whether the customer was charged."""


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
    """Tells this attempt from later ones: its answer is stale once the payment has another lease."""
