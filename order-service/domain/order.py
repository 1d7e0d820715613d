"""The order, whose state machine is the saga's arbiter.

    pending -> confirmed -> completed        pending | confirmed -> failed | cancelled

The last three are final, and the first of them to be reached under the order's row lock is the decision that all other
services follow.

An order that waits asks again. One that is not final says OrderCreated until its deadline; one that is undone says the
decision until its timeline shows that what was done for it has been undone.
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
    remind_at: datetime | None = None
    """When to say again what nobody has answered; None when no answer is awaited."""
    timeline: tuple[TimelineEntry, ...] = ()
    events: list[OrderEvent] = field(default_factory=list)
    """What happened since the order was placed or loaded."""
    repeats: list[OrderEvent] = field(default_factory=list)
    """What happened before, to be said again."""

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
        order._record(order._created(), Status.PENDING, now)
        order._remind_before_deadline(now)
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
        order._fail(LOST, now, answered=False)
        return order

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def is_undone(self) -> bool:
        return self.status in UNDONE

    @property
    def due_at(self) -> datetime | None:
        """When the order expires, while it is open."""
        return None if self.is_final else self.expires_at

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
        self.remind_at = None

    def refuse(self, reason: str, now: datetime) -> None:
        """The stock is not there, so nothing has to be undone. Raises IllegalTransition when the order is final."""
        self._fail(reason, now, answered=True)

    def fail(self, reason: str, now: datetime) -> None:
        """The money was not taken. Raises IllegalTransition when the order is final."""
        self._fail(reason, now, answered=False)

    def expire(self, now: datetime) -> None:
        """The time is up. Raises IllegalTransition when the order is final."""
        self._fail(EXPIRED, now, answered=False)

    def cancel(self, now: datetime) -> None:
        """The customer changed their mind. Raises IllegalTransition when the order is completed or failed; an order
        that is cancelled already stays as it is."""
        if self.status is Status.CANCELLED:
            return
        self._leave({Status.PENDING, Status.CONFIRMED}, Status.CANCELLED)
        reason = "cancelled-by-customer"
        self._record(OrderCancelled(self.id, self.customer_id, reason, self.expires_at), Status.CANCELLED, now, reason)
        self._repeat_later(now)

    def note(self, event: str, reason: str, now: datetime) -> bool:
        """Adds a line about a compensation to the timeline, once; False if it is there already."""
        if any(entry.event == event for entry in self.timeline):
            return False
        self._enter(event, now, reason)
        if self._is_undone_everywhere():
            self.remind_at = None
        return True

    def remind(self, now: datetime) -> str | None:
        """Says again what nobody has answered: an open order that it was placed, an undone one how it was decided.

        Returns which of the two, or None if no answer is awaited any more.
        """
        if self.is_undone and not self._is_undone_everywhere():
            self.repeat_decision()
            self._repeat_later(now)
            return "decision"
        if self.is_final or now >= self.expires_at:
            self.remind_at = None
            return None
        self.repeats.append(self._created())
        self._remind_before_deadline(now)
        return "order"

    def repeat_decision(self) -> bool:
        """For a service that seems to have lost it. False if it is being said anyway.

        Raises IllegalTransition unless the order is final.
        """
        if not self.is_final:
            raise IllegalTransition(self.status, "decided again")
        if self.events or self.repeats:
            return False
        self.repeats.append(self._decision())
        return True

    def as_placed(self) -> "Order":
        """The order as it was when it was placed: the first answer to the request that placed it."""
        return replace(
            self,
            status=Status.PENDING,
            reason=None,
            updated_at=self.created_at,
            timeline=self.timeline[:1],
            events=[],
            repeats=[],
        )

    def _created(self) -> OrderCreated:
        return OrderCreated(self.id, self.customer_id, self.items, self.total_amount, self.currency, self.expires_at)

    def _decision(self) -> Decision:
        if self.status is Status.COMPLETED:
            return OrderCompleted(self.id, self.customer_id, self.total_amount, self.currency)
        kind = OrderFailed if self.status is Status.FAILED else OrderCancelled
        return kind(self.id, self.customer_id, self.reason or "", self.expires_at)

    def _fail(self, reason: str, now: datetime, *, answered: bool) -> None:
        self._leave({Status.PENDING, Status.CONFIRMED}, Status.FAILED)
        self._record(OrderFailed(self.id, self.customer_id, reason, self.expires_at), Status.FAILED, now, reason)
        self.remind_at = None
        if not answered:
            self._repeat_later(now)

    def _remind_before_deadline(self, now: datetime) -> None:
        """After 30 seconds, then at intervals that double: each is as long as all before it and 30 seconds."""
        at = now + min(now - self.created_at + REMINDED_AFTER, LONGEST_INTERVAL)
        self.remind_at = at if at < self.expires_at else None

    def _repeat_later(self, now: datetime) -> None:
        """At the next of DECISION_REPEATED_AFTER, counted from the decision; None once all have passed."""
        decided_at = next(entry.at for entry in self.timeline if entry.status == self.status)
        times = (decided_at + delay for delay in DECISION_REPEATED_AFTER)
        self.remind_at = next((at for at in times if at > now), None)

    def _is_undone_everywhere(self) -> bool:
        """Whether the timeline has all that can follow the decision which undid the order. What was never held or
        charged never tells."""
        wanted = {"InventoryReleased"}
        if self.status is Status.CANCELLED or self.reason in (EXPIRED, LOST):
            wanted.add("PaymentRefunded")
        return self.is_undone and wanted <= {entry.event for entry in self.timeline}

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
        self.timeline += (TimelineEntry(self.updated_at, event, self.status, reason),)
