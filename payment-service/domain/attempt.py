"""One call of the payment gateway, and its possible answers."""

from dataclasses import dataclass
from datetime import timedelta
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
    UNAVAILABLE = "unavailable"
    """Certainly not processed: the connection was refused, or there were too many calls (429)."""
    UNKNOWN = "unknown"
    """No answer came, or another 5xx, so the customer may have been charged."""


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
    traceparent: str
    """The order's trace."""
    outcome_was_unknown: bool = False
    """Whether an earlier attempt may have charged the customer."""


@dataclass(frozen=True, slots=True)
class Reply:
    answer: Answer
    retry_after: timedelta = timedelta(0)
    """How long the gateway asks to be left alone (the header Retry-After)."""
