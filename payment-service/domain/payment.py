"""The payment of an order: charged once, or known not to be charged; given back if the order is undone.

    new -> pending -> processing -> completed -> refunding -> refunded
           pending | processing -> cancelled
                     processing -> failed
    new -> void
    new | void | cancelled | failed -> completed        the gateway reports a charge that a restore has forgotten

`new` lasts no longer than the transaction that adds the payment. `void` is a tombstone: the order was undone, or its
time had passed, before there was anything to charge for.

While `outcome_unknown`, money may or may not have been taken: from the moment an attempt begins until its answer is
applied, and for as long as there is none. The gateway is then asked again under the same key, which is how it knows
that it is the same charge; only its definite answer "not charged, an error" gives the next attempt a key of its own.
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
"""How long an attempt may go without an answer before another worker makes it again; longer than any gateway call."""
LONGEST_WAIT = timedelta(minutes=1)
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
    """The id of the order's payment, a UUIDv7 of the order's time: a payment that is opened anew after a restore has
    the idempotency keys that it had before, and the gateway repeats its answers instead of charging again."""
    drawn = int.from_bytes(hashlib.sha256(f"payment:{order_id}".encode()).digest()[:10])
    return UUID(int=(order_id.int >> 80 << 80) | 7 << 76 | (drawn >> 68) << 64 | 2 << 62 | drawn & (1 << 62) - 1)


@dataclass(slots=True, eq=False)
class Payment:
    id: UUID
    order_id: UUID
    customer_id: UUID
    amount: Decimal | None
    """None for a tombstone only."""
    currency: str | None
    status: Status
    reason: str | None
    attempts: int
    """How often the gateway was asked to charge."""
    charge_number: int
    """The number of the charge, part of its idempotency key: one more than the definite errors so far."""
    outcome_unknown: bool
    waits: int
    """How often in a row an answer was no answer; the delays grow with it."""
    undone_reason: str | None
    """Why the order was undone, if it was while the outcome was unknown or the money taken."""
    due_at: datetime | None
    """When the gateway is to be asked next; while it is being asked, when the lease ends; for a tombstone, when it may
    be forgotten."""
    lease: UUID | None
    expires_at: datetime
    """The order's deadline, past which no payment is opened for it any more."""
    traceparent: str
    """The trace of the request that placed the order, which all its events bear."""
    created_at: datetime
    updated_at: datetime
    events: list[PaymentEvent] = field(default_factory=list)
    """What happened since the payment was opened or loaded."""
    repeats: list[PaymentEvent] = field(default_factory=list)
    """What happened before, to be said again."""

    @classmethod
    def new(cls, order_id: UUID, customer_id: UUID, expires_at: datetime, traceparent: str, now: datetime) -> Self:
        return cls(
            id=payment_id(order_id),
            order_id=order_id,
            customer_id=customer_id,
            amount=None,
            currency=None,
            status=Status.NEW,
            reason=None,
            attempts=0,
            charge_number=1,
            outcome_unknown=False,
            waits=0,
            undone_reason=None,
            due_at=None,
            lease=None,
            expires_at=expires_at,
            traceparent=traceparent,
            created_at=now,
            updated_at=now,
        )

    @property
    def awaits_attempt(self) -> bool:
        """Whether the gateway is to be asked now, and nobody asks it."""
        return self.status in (Status.PENDING, Status.REFUNDING) and self.lease is None

    def open(self, amount: Decimal, currency: str, now: datetime) -> None:
        """The stock is held: the charge is due. Past the order's deadline the payment is void.

        Raises IllegalTransition unless the payment is new.
        """
        if now >= self.expires_at:
            return self.void(now)
        self._become(Status.PENDING, {Status.NEW}, now)
        self.amount, self.currency = amount, currency
        self.due_at = now
        return None

    def void(self, now: datetime) -> None:
        """Leaves a tombstone. Raises IllegalTransition unless the payment is new."""
        self._become(Status.VOID, {Status.NEW}, now)
        self.due_at = self.expires_at + TOMBSTONE_KEPT

    def begin_attempt(self, lease: UUID, now: datetime) -> Attempt:
        """Notes, before the gateway is called, that it is. Raises IllegalTransition when there is nothing to ask it."""
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
        return Attempt(kind, key, self.id, self.order_id, self.customer_id, *self._money(), lease)

    def apply(self, attempt: Attempt, answer: Answer, retry_delays: Sequence[timedelta], now: datetime) -> bool:
        """What the gateway answered. False if the attempt's lease is not the payment's any more: another worker has
        asked again since, and its answer counts."""
        if self.lease != attempt.lease:
            return False
        self.lease = None
        self._touch(now)
        if answer is Answer.UNKNOWN or (attempt.kind is Kind.REFUND and answer is not Answer.DONE):
            self.due_at = now + min(timedelta(seconds=2 ** min(self.waits, 10)), LONGEST_WAIT)
            self.waits += 1
            return True
        self.waits = 0
        if attempt.kind is Kind.REFUND:
            self._refunded(now)
        elif answer is Answer.DONE:
            self._charged(now)
        else:
            self._not_charged(answer, retry_delays, now)
        return True

    def undo(self, reason: str, now: datetime) -> bool:
        """The order failed or was cancelled. False if that changes nothing (any more)."""
        match self.status:
            case Status.NEW:
                self.void(now)
            case Status.PENDING:
                self._cancel(reason, now)
            case Status.PROCESSING if not self.outcome_unknown:
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
        """The gateway reports a charge for an order that is undone: it is given back. False if the payment knows of it,
        or will by the next answer under the same key."""
        forgotten = {Status.NEW, Status.VOID, Status.CANCELLED, Status.FAILED}
        if self.status not in forgotten:
            return False
        self.amount, self.currency = amount, currency
        self.undone_reason = undone_reason
        self._become(Status.COMPLETED, forgotten, now)
        self._begin_refund(now)
        return True

    def repeat(self) -> bool:
        """Says again how the payment ended, for a service that seems not to know. False if it is being said anyway.

        Raises IllegalTransition for a payment of whose end nobody was told.
        """
        if self.events or self.repeats:
            return False
        match self.status:
            case Status.COMPLETED:
                self.repeats.append(self._processed())
            case Status.FAILED:
                self.repeats.append(self._failed())
            case Status.REFUNDED:
                self.repeats.append(self._given_back())
            case _:
                raise IllegalTransition(self.status, "announced again")
        return True

    def _charged(self, now: datetime) -> None:
        self.outcome_unknown = False
        self._become(Status.COMPLETED, {Status.PROCESSING}, now)
        if self.undone_reason is not None:
            self._begin_refund(now)
            return
        self.events.append(self._processed())

    def _not_charged(self, answer: Answer, retry_delays: Sequence[timedelta], now: datetime) -> None:
        self.outcome_unknown = False
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
        self.events.append(self._failed())

    def _begin_refund(self, now: datetime) -> None:
        self._become(Status.REFUNDING, {Status.COMPLETED}, now)
        self.reason = self.undone_reason
        self.due_at = now

    def _refunded(self, now: datetime) -> None:
        self._become(Status.REFUNDED, {Status.REFUNDING}, now)
        self.events.append(self._given_back())

    def _processed(self) -> PaymentProcessed:
        return PaymentProcessed(self.order_id, self.customer_id, self.id, *self._money())

    def _failed(self) -> PaymentFailed:
        return PaymentFailed(self.order_id, self.customer_id, self.id, self.reason or "")

    def _given_back(self) -> PaymentRefunded:
        return PaymentRefunded(self.order_id, self.customer_id, self.id, *self._money(), self.undone_reason or "")

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
        """A transaction begins before it has the lock: the one that changed the payment before may have begun later."""
        self.updated_at = max(now, self.updated_at)
