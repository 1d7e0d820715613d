"""The order, whose state machine is the saga's arbiter.

    pending -> confirmed -> completed        pending | confirmed -> failed | cancelled

The last three are final, and the first of them to be reached under the order's row lock is the decision that all other
services follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self
from uuid import UUID

from domain.errors import IllegalTransition, InvalidOrder
from domain.events import (
    Decision,
    Line,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderCreated,
    OrderEvent,
    OrderFailed,
)

CENT = Decimal("0.01")
MAX_TOTAL = Decimal("9999999999.99")
"""The largest NUMERIC(12,2)."""


class Status(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
UNDONE = frozenset({Status.FAILED, Status.CANCELLED})


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    at: datetime
    event: str
    status: str
    reason: str | None = None


@dataclass(slots=True, eq=False)
class Order:
    id: UUID
    customer_id: UUID
    items: tuple[Line, ...]
    total_amount: Decimal
    currency: str
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    traceparent: str
    """The trace of the request that placed the order, which all its events bear."""
    status: Status = Status.PENDING
    reason: str | None = None
    timeline: list[TimelineEntry] = field(default_factory=list)
    events: list[OrderEvent] = field(default_factory=list)
    """What happened since the order was placed or loaded."""

    @classmethod
    def place(
        cls,
        order_id: UUID,
        customer_id: UUID,
        items: Sequence[Line],
        *,
        currency: str,
        expires_after: timedelta,
        traceparent: str,
        now: datetime,
    ) -> Self:
        """A new order. Raises InvalidOrder without lines or when the total is beyond MAX_TOTAL."""
        if not items:
            raise InvalidOrder("An order has at least one line.")
        total = sum((line.price * line.quantity for line in items), Decimal("0.00"))
        if total > MAX_TOTAL:
            raise InvalidOrder(f"The order's total is {total}, and may be {MAX_TOTAL} at most.")
        order = cls(order_id, customer_id, tuple(items), total, currency, now + expires_after, now, now, traceparent)
        order._record(
            OrderCreated(order.id, customer_id, order.items, total, currency, order.expires_at), Status.PENDING, now
        )
        return order

    @classmethod
    def adopt(
        cls,
        order_id: UUID,
        customer_id: UUID,
        items: Sequence[Line],
        *,
        total_amount: Decimal,
        currency: str,
        expires_at: datetime,
        traceparent: str,
        now: datetime,
    ) -> Self:
        """An order that was accepted once and forgotten since, by a restore. It can only be undone: the customer's
        cancel may have been forgotten with it."""
        order = cls(order_id, customer_id, tuple(items), total_amount, currency, expires_at, now, now, traceparent)
        order._enter("OrderCreated", now, None)
        order.fail("lost-in-restore", now)
        return order

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def is_undone(self) -> bool:
        return self.status in UNDONE

    def confirm(self, now: datetime) -> None:
        """The stock is held. Raises IllegalTransition unless pending."""
        self._leave({Status.PENDING}, Status.CONFIRMED)
        self._record(OrderConfirmed(self.id, self.customer_id), Status.CONFIRMED, now)

    def complete(self, now: datetime) -> None:
        """The money was taken, which implies that the stock is held: a pending order is confirmed on the way.

        Raises IllegalTransition when the order is final.
        """
        if self.status is Status.PENDING:
            self.confirm(now)
        self._leave({Status.CONFIRMED}, Status.COMPLETED)
        self._record(OrderCompleted(self.id, self.customer_id, self.total_amount, self.currency), Status.COMPLETED, now)

    def fail(self, reason: str, now: datetime) -> None:
        """No stock, no payment, or no time left. Raises IllegalTransition when the order is final."""
        self._leave({Status.PENDING, Status.CONFIRMED}, Status.FAILED)
        self._record(OrderFailed(self.id, self.customer_id, reason, self.expires_at), Status.FAILED, now, reason)

    def cancel(self, now: datetime) -> None:
        """The customer changed their mind. Raises IllegalTransition when the order is completed or failed; an order
        that is cancelled already stays as it is."""
        if self.status is Status.CANCELLED:
            return
        self._leave({Status.PENDING, Status.CONFIRMED}, Status.CANCELLED)
        reason = "cancelled-by-customer"
        self._record(OrderCancelled(self.id, self.customer_id, reason, self.expires_at), Status.CANCELLED, now, reason)

    def note(self, event: str, reason: str, now: datetime) -> bool:
        """Adds a line about a compensation to the timeline, once; False if it is there already."""
        if any(entry.event == event for entry in self.timeline):
            return False
        self._enter(event, now, reason)
        return True

    def decision(self) -> tuple[Decision, datetime]:
        """The event of the order's final state, as it was first told, and when."""
        at = next(entry.at for entry in self.timeline if entry.status == self.status)
        match self.status:
            case Status.COMPLETED:
                return OrderCompleted(self.id, self.customer_id, self.total_amount, self.currency), at
            case Status.FAILED:
                return OrderFailed(self.id, self.customer_id, self.reason or "", self.expires_at), at
            case Status.CANCELLED:
                return OrderCancelled(self.id, self.customer_id, self.reason or "", self.expires_at), at
        raise IllegalTransition(self.status, "decided again")

    def as_placed(self) -> "Order":
        """The order as it was when it was placed: the first answer to the request that placed it."""
        begun = self.timeline[:1]
        return replace(self, status=Status.PENDING, reason=None, updated_at=self.created_at, timeline=begun, events=[])

    def _leave(self, allowed: set[Status], wanted: Status) -> None:
        if self.status not in allowed:
            raise IllegalTransition(self.status, wanted)

    def _record(self, event: OrderEvent, status: Status, now: datetime, reason: str | None = None) -> None:
        self.status = status
        self.reason = reason
        self._enter(event.name, now, reason)
        self.events.append(event)

    def _enter(self, event: str, now: datetime, reason: str | None) -> None:
        """Adds a line to the timeline. Transactions get an order's lock in another order than they began in, and `now`
        is when they began; the timeline's times never go back all the same."""
        self.updated_at = max(now, self.updated_at)
        self.timeline.append(TimelineEntry(self.updated_at, event, self.status, reason))
