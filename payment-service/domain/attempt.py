"""One call of the payment gateway, and what may come of it."""

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
    """Not charged, and asking again would change nothing."""
    ERROR = "error"
    """Definitely not charged, for a reason that may pass."""
    UNKNOWN = "unknown"
    """A time-out or a lost connection: charged or not, nobody can tell yet."""


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
    """Whose attempt this is: an answer to another lease than the payment's is stale."""
