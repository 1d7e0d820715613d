"""The payment of an order: charged once or known not to be charged, and refunded if the order is undone.

    new -> pending -> processing -> completed -> refunding -> refunded
           pending | processing -> cancelled
                     processing -> failed
    new -> void
    new | void | cancelled | failed -> completed        the gateway reports a charge that a restored database forgot

A payment is `new` only within the transaction that adds it. A `void` payment is a tombstone: the order was undone, or
its deadline passed, before there was anything to charge for.

`outcome_unknown` is true from the beginning of an attempt until a definite answer is applied. Until then the gateway is
asked under the same key, by which it recognizes the charge; only a definite error changes the key. An attempt that the
gateway certainly did not process leaves `outcome_unknown` as it was.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self
from uuid import UUID

from domain.attempt import Answer, Attempt, Kind
from domain.errors import IllegalTransition
from domain.events import PaymentEvent, PaymentFailed, PaymentProcessed, PaymentRefunded

LEASE = timedelta(seconds=30)
"""How long an attempt may go without an answer before another process makes it again; longer than any call takes."""
LONGEST_WAIT = timedelta(minutes=1)
UNAVAILABLE_WAIT = timedelta(seconds=1)
"""It doesn't grow: the circuit breaker, not the wait, keeps payments from a gateway that stays away."""
TOMBSTONE_KEPT = timedelta(days=7)


class Status(StrEnum):
    NEW = "new"
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    VOID = "void"


def payment_id(order_id: UUID) -> UUID:
    """The id of the order's payment, a UUIDv7 with the order's time. It depends on the order alone, so a payment that a
    restore lost gets the same idempotency keys again, and the gateway doesn't charge twice."""
    drawn = int.from_bytes(hashlib.sha256(f"payment:{order_id}".encode()).digest()[:10])
    return UUID(int=(order_id.int >> 80 << 80) | 7 << 76 | (drawn >> 68) << 64 | 2 << 62 | drawn & (1 << 62) - 1)


@dataclass(slots=True, eq=False, kw_only=True)
class Payment:
    id: UUID
    order_id: UUID
    customer_id: UUID
    amount: Decimal | None = None
    """None for a tombstone only."""
    currency: str | None = None
    status: Status = Status.NEW
    reason: str | None = None
    attempts: int = 0
    """How many times the gateway was asked to charge."""
    charge_number: int = 1
    """Part of the charge's idempotency key: one more than the definite errors so far."""
    outcome_unknown: bool = False
    waits: int = 0
    """Consecutive calls without an answer, which lengthen the delay."""
    undone_reason: str | None = None
    """Why the order was undone, if that was while the outcome was unknown or the money taken."""
    due_at: datetime | None = None
    """When to ask the gateway next, when the call's lease ends, or when to delete the tombstone."""
    lease: UUID | None = None
    expires_at: datetime
    """The order's deadline, past which no payment is opened."""
    traceparent: str
    """The trace of the request that placed the order, and of all the payment's events."""
    created_at: datetime
    updated_at: datetime
    events: list[PaymentEvent] = field(default_factory=list)
    repeats: list[PaymentEvent] = field(default_factory=list)
    """Earlier events to publish again."""

    @classmethod
    def new(cls, order_id: UUID, customer_id: UUID, expires_at: datetime, traceparent: str, now: datetime) -> Self:
        return cls(
            id=payment_id(order_id),
            order_id=order_id,
            customer_id=customer_id,
            expires_at=expires_at,
            traceparent=traceparent,
            created_at=now,
            updated_at=now,
        )

    @property
    def awaits_attempt(self) -> bool:
        """Whether an attempt is due at once and none is under way."""
        return self.status in (Status.PENDING, Status.REFUNDING) and self.lease is None

    def open(self, amount: Decimal, currency: str, now: datetime) -> None:
        """The order's stock is reserved: the charge is due. Past the order's deadline the payment becomes void. Raises
        IllegalTransition unless the payment is new."""
        if now >= self.expires_at:
            self.void(now)
        else:
            self._become(Status.PENDING, {Status.NEW}, now)
            self.amount, self.currency = amount, currency
            self.due_at = now

    def void(self, now: datetime) -> None:
        """Leaves a tombstone. Raises IllegalTransition unless the payment is new."""
        self._become(Status.VOID, {Status.NEW}, now)
        self.due_at = self.expires_at + TOMBSTONE_KEPT

    def rest_past_deadline(self, now: datetime) -> bool:
        """Past the order's deadline no charge begins. True if the payment rests until the order's decision is known,
        which a charge that may have been made, and a refund, don't do."""
        if self.status is Status.REFUNDING or self.outcome_unknown or now < self.expires_at:
            return False
        self.due_at = now + LONGEST_WAIT
        return True

    def begin_attempt(self, lease: UUID, now: datetime) -> Attempt:
        """Notes an attempt before the gateway is asked. Raises IllegalTransition if there is nothing to ask for."""
        was_unknown = self.outcome_unknown
        if self.status is Status.REFUNDING:
            kind, key = Kind.REFUND, f"{self.id}:refund"
            self._touch(now)
        else:
            self._become(Status.PROCESSING, {Status.PENDING, Status.PROCESSING}, now)
            self.attempts += 1
            self.outcome_unknown = True
            kind, key = Kind.CHARGE, f"{self.id}:{self.charge_number}"
        self.lease = lease
        self.due_at = now + LEASE
        ids = (self.id, self.order_id, self.customer_id)
        return Attempt(kind, key, *ids, *self._money(), lease, self.traceparent, was_unknown)

    def apply(self, attempt: Attempt, answer: Answer, retry_delays: Sequence[timedelta], now: datetime) -> bool:
        """Applies the gateway's answer. False if the answer is stale, because another attempt has begun since."""
        if self.lease != attempt.lease:
            return False
        self.lease = None
        self._touch(now)
        if answer is Answer.UNAVAILABLE:
            self._not_processed(attempt, now)
            return True
        if answer is Answer.UNKNOWN or (attempt.kind is Kind.REFUND and answer is not Answer.DONE):
            self.due_at = now + min(timedelta(seconds=2 ** min(self.waits, 10)), LONGEST_WAIT)
            self.waits += 1
            return True
        self.waits, self.outcome_unknown = 0, False
        if attempt.kind is Kind.REFUND:
            self._become(Status.REFUNDED, {Status.REFUNDING}, now)
            self.events.append(self._event())
        elif answer is Answer.DONE:
            self._charged(now)
        else:
            self._not_charged(answer, retry_delays, now)
        return True

    def undo(self, reason: str, now: datetime) -> bool:
        """The order failed or was cancelled. False if that changes nothing."""
        match self.status:
            case Status.NEW:
                self.void(now)
            case Status.PENDING | Status.PROCESSING if not self.outcome_unknown:
                self._cancel(reason, now)
            case Status.PROCESSING if self.undone_reason is None:
                self.undone_reason = reason
                self._touch(now)
            case Status.COMPLETED:
                self.undone_reason = reason
                self._begin_refund(now)
            case _:
                return False
        return True

    def enter_charge(self, amount: Decimal, currency: str, undone_reason: str, now: datetime) -> bool:
        """The gateway reports a charge for an undone order: refunds it. False if the payment knows it, or soon will."""
        forgotten = {Status.NEW, Status.VOID, Status.CANCELLED, Status.FAILED}
        if self.status not in forgotten:
            return False
        self.amount, self.currency = amount, currency
        self.undone_reason = undone_reason
        self._become(Status.COMPLETED, forgotten, now)
        self._begin_refund(now)
        return True

    def repeat(self) -> bool:
        """Repeats the outcome, for a service that seems not to know it. False if an event is about to be published
        anyway. Raises IllegalTransition for a status without an event."""
        if self.events or self.repeats:
            return False
        self.repeats.append(self._event())
        return True

    def _charged(self, now: datetime) -> None:
        self._become(Status.COMPLETED, {Status.PROCESSING}, now)
        if self.undone_reason is None:
            self.events.append(self._event())
        else:
            self._begin_refund(now)

    def _not_processed(self, attempt: Attempt, now: datetime) -> None:
        self.outcome_unknown = attempt.outcome_was_unknown
        if self.status is Status.PROCESSING and self.undone_reason is not None and not self.outcome_unknown:
            self._cancel(self.undone_reason, now)
        else:
            self.due_at = now + UNAVAILABLE_WAIT

    def _not_charged(self, answer: Answer, retry_delays: Sequence[timedelta], now: datetime) -> None:
        if self.undone_reason is not None:
            self._cancel(self.undone_reason, now)
        elif answer is Answer.DECLINED:
            self._fail("payment-declined", now)
        elif self.charge_number > len(retry_delays):
            self._fail("payment-retries-exhausted", now)
        else:
            self.due_at = now + retry_delays[self.charge_number - 1]
            self.charge_number += 1

    def _cancel(self, reason: str, now: datetime) -> None:
        self._become(Status.CANCELLED, {Status.PENDING, Status.PROCESSING}, now)
        self.reason = reason

    def _fail(self, reason: str, now: datetime) -> None:
        self._become(Status.FAILED, {Status.PROCESSING}, now)
        self.reason = reason
        self.events.append(self._event())

    def _begin_refund(self, now: datetime) -> None:
        self._become(Status.REFUNDING, {Status.COMPLETED}, now)
        self.reason = self.undone_reason
        self.due_at = now

    def _event(self) -> PaymentEvent:
        ids = (self.order_id, self.customer_id, self.id)
        match self.status:
            case Status.COMPLETED:
                return PaymentProcessed(*ids, *self._money())
            case Status.FAILED:
                return PaymentFailed(*ids, self.reason or "")
            case Status.REFUNDED:
                return PaymentRefunded(*ids, *self._money(), self.reason or "")
        raise IllegalTransition(self.status, "announced again")

    def _money(self) -> tuple[Decimal, str]:
        assert self.amount is not None, "only a tombstone has no amount"
        assert self.currency is not None, "only a tombstone has no currency"
        return self.amount, self.currency

    def _become(self, wanted: Status, allowed: set[Status], now: datetime) -> None:
        if self.status not in allowed:
            raise IllegalTransition(self.status, wanted)
        self.status = wanted
        self.due_at = None
        self._touch(now)

    def _touch(self, now: datetime) -> None:
        """A transaction begins before it gets the lock, so the previous one may have begun later."""
        self.updated_at = max(now, self.updated_at)
