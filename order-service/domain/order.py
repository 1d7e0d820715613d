"""The order, whose state machine (TRANSITIONS) is the saga's arbiter: all services follow the first final status.

Until its deadline, an order that isn't final repeats OrderCreated. An undone order repeats the decision until its
timeline shows that the other services have undone their part.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self
from uuid import UUID

from domain.errors import IllegalTransition, InvalidOrder
from domain.events import (
    Line,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderCreated,
    OrderEvent,
    OrderFailed,
    Shortage,
)

MAX_TOTAL = Decimal("9999999999.99")
"""The largest NUMERIC(12,2)."""

BY_CUSTOMER, BY_STAFF = "cancelled-by-customer", "cancelled-by-staff"
EXPIRED = "expired"
LOST = "lost-in-restore"
REMINDED_AFTER = timedelta(seconds=30)
LONGEST_INTERVAL = timedelta(minutes=2)
DECISION_REPEATED_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(days=7),
)


class Status(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: Mapping[Status, Collection[Status]] = {
    Status.PENDING: {Status.CONFIRMED, Status.FAILED, Status.CANCELLED},
    Status.CONFIRMED: {Status.COMPLETED, Status.FAILED, Status.CANCELLED},
    Status.COMPLETED: (),
    Status.FAILED: (),
    Status.CANCELLED: (),
}
FINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
UNDONE = frozenset({Status.FAILED, Status.CANCELLED})


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    at: datetime
    event: str
    status: str
    reason: str | None = None
    by: str | None = None
    """Whose request it was, if a caller's that was identified."""


@dataclass(frozen=True, slots=True)
class LostOrder:
    """The part of an order that the other services, or the payment gateway, know."""

    order_id: UUID
    customer_id: UUID
    items: tuple[Line, ...]
    """Empty if only the order's payment is known."""
    total_amount: Decimal
    currency: str
    expires_at: datetime
    traceparent: str


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
    """The trace of the request that placed the order, and of all the order's events."""
    price_trusted: bool = True
    """Whether the order may name the price of a product that has none."""
    status: Status = Status.PENDING
    reason: str | None = None
    shortages: tuple[Shortage, ...] = ()
    """What was missing when inventory refused the order for want of stock."""
    remind_at: datetime | None = None
    """When the order repeats an event; None if it awaits no answer."""
    timeline: tuple[TimelineEntry, ...] = ()
    events: list[OrderEvent] = field(default_factory=list)
    repeats: list[OrderEvent] = field(default_factory=list)
    """Earlier events to publish again."""

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
        price_trusted: bool = True,
        by: str | None = None,
    ) -> Self:
        """A new order. Raises InvalidOrder without lines, or if the total exceeds MAX_TOTAL."""
        if not items:
            raise InvalidOrder("An order has at least one line.")
        total = sum((line.price * line.quantity for line in items), Decimal("0.00"))
        if total > MAX_TOTAL:
            raise InvalidOrder(f"The order's total is {total}, and may be {MAX_TOTAL} at most.")
        ids, times = (order_id, customer_id), (now + expires_after, now, now)
        order = cls(*ids, tuple(items), total, currency, *times, traceparent, price_trusted)
        order._announce(now, by)
        order._remind_before_deadline(now)
        return order

    @classmethod
    def adopt(cls, lost: LostOrder, now: datetime) -> Self:
        """An order that a restore from a backup lost. It can only be undone: the restore may have lost a cancel too."""
        what = (lost.order_id, lost.customer_id, lost.items, lost.total_amount, lost.currency)
        order = cls(*what, lost.expires_at, now, now, lost.traceparent)
        order._enter("OrderCreated", None, now)
        order._undo(Status.FAILED, LOST, now)
        return order

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def is_undone(self) -> bool:
        return self.status in UNDONE

    @property
    def due_at(self) -> datetime | None:
        """When the order expires; None once it is final."""
        return None if self.is_final else self.expires_at

    def confirm(self, now: datetime) -> None:
        """The stock is held. Raises IllegalTransition unless the order is pending."""
        self._become(Status.CONFIRMED, None, now)

    def complete(self, now: datetime) -> None:
        """The money was taken, so the stock is held: confirms it first. Raises IllegalTransition if it is final."""
        if self.status is Status.PENDING:
            self.confirm(now)
        self._become(Status.COMPLETED, None, now)
        self.remind_at = None

    def refuse(self, reason: str, now: datetime, shortages: tuple[Shortage, ...] = ()) -> None:
        """There is no stock, so no service has anything to undo. Raises IllegalTransition if the order is final."""
        self._become(Status.FAILED, reason, now, shortages=shortages)
        self.remind_at = None

    def fail(self, reason: str, now: datetime) -> None:
        """The money was not taken. Raises IllegalTransition if the order is final."""
        self._undo(Status.FAILED, reason, now)

    def expire(self, now: datetime) -> None:
        """The time is up. Raises IllegalTransition if the order is final."""
        self._undo(Status.FAILED, EXPIRED, now)

    def cancel(self, now: datetime, *, reason: str = BY_CUSTOMER, by: str | None = None) -> None:
        """Leaves a cancelled order as it is. Raises IllegalTransition if the order is completed or failed."""
        if self.status is not Status.CANCELLED:
            self._undo(Status.CANCELLED, reason, now, by)

    def record_compensation(self, event: str, reason: str, now: datetime) -> bool:
        """Adds a compensation to the timeline. False if it is there already."""
        if any(entry.event == event for entry in self.timeline):
            return False
        self._enter(event, reason, now)
        if self._is_undone_everywhere():
            self.remind_at = None
        return True

    def remind(self, now: datetime) -> str | None:
        """Repeats OrderCreated, or the decision of an undone order. Returns which; None if it awaits no answer."""
        if self.is_undone and not self._is_undone_everywhere():
            self.repeat_decision()
            self._repeat_later(now)
            return "decision"
        if self.is_final or now >= self.expires_at:
            self.remind_at = None
            return None
        self.repeats.append(self._event(Status.PENDING))
        self._remind_before_deadline(now)
        return "order"

    def repeat_decision(self) -> bool:
        """For a service that seems to have lost the decision. False if an event is about to be published anyway. Raises
        IllegalTransition unless the order is final."""
        if not self.is_final:
            raise IllegalTransition(self.status, "decided again")
        if self.events or self.repeats:
            return False
        self.repeats.append(self._event(self.status))
        return True

    def as_placed(self) -> Self:
        """The order as it was when it was placed: the first answer to the request that placed it."""
        return replace(
            self,
            status=Status.PENDING,
            reason=None,
            shortages=(),
            updated_at=self.created_at,
            timeline=self.timeline[:1],
            events=[],
            repeats=[],
        )

    def _event(self, status: Status) -> OrderEvent:
        ids = (self.id, self.customer_id)
        match status:
            case Status.PENDING:
                return OrderCreated(
                    *ids, self.items, self.total_amount, self.currency, self.expires_at, self.price_trusted
                )
            case Status.CONFIRMED:
                return OrderConfirmed(*ids)
            case Status.COMPLETED:
                return OrderCompleted(*ids, self.total_amount, self.currency, self.items)
            case Status.FAILED:
                return OrderFailed(*ids, self.reason or "", self.expires_at, self.shortages)
            case Status.CANCELLED:
                return OrderCancelled(*ids, self.reason or "", self.expires_at)

    def _become(
        self,
        status: Status,
        reason: str | None,
        now: datetime,
        by: str | None = None,
        shortages: tuple[Shortage, ...] = (),
    ) -> None:
        if status not in TRANSITIONS[self.status]:
            raise IllegalTransition(self.status, status)
        self.status, self.reason, self.shortages = status, reason, shortages
        self._announce(now, by)

    def _undo(self, status: Status, reason: str, now: datetime, by: str | None = None) -> None:
        """Decides against the order, and schedules repeats for services that may have something to undo."""
        self._become(status, reason, now, by)
        self._repeat_later(now)

    def _announce(self, now: datetime, by: str | None = None) -> None:
        event = self._event(self.status)
        self._enter(event.name, self.reason, now, by)
        self.events.append(event)

    def _enter(self, event: str, reason: str | None, now: datetime, by: str | None = None) -> None:
        """The timeline's times never go back, even if a transaction that began earlier gets the order's lock later."""
        self.updated_at = max(now, self.updated_at)
        self.timeline += (TimelineEntry(self.updated_at, event, self.status, reason, by),)

    def _remind_before_deadline(self, now: datetime) -> None:
        """After REMINDED_AFTER, then at intervals that double up to LONGEST_INTERVAL."""
        at = now + min(now - self.created_at + REMINDED_AFTER, LONGEST_INTERVAL)
        self.remind_at = at if at < self.expires_at else None

    def _repeat_later(self, now: datetime) -> None:
        """At the next of DECISION_REPEATED_AFTER, counted from the decision."""
        decided_at = next(entry.at for entry in self.timeline if entry.status == self.status)
        times = (decided_at + delay for delay in DECISION_REPEATED_AFTER)
        self.remind_at = next((at for at in times if at > now), None)

    def _is_undone_everywhere(self) -> bool:
        """Whether the timeline has every possible answer. A service that held or charged nothing doesn't answer."""
        answers = {"InventoryReleased"}
        if self.status is Status.CANCELLED or self.reason in (EXPIRED, LOST):
            answers.add("PaymentRefunded")
        return self.is_undone and answers <= {entry.event for entry in self.timeline}
