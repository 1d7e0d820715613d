"""The rules of the books: what may never be, what should have come by now, what a person should look at.

The schemas are read in one snapshot, and a service tells of a change only once it is committed. So whoever follows an
event is never seen without what the event tells of: an order that is completed, though its payment is not, is wrong at
any moment. What has been told may not have been followed yet: that is wrong only once it is older than MOMENTS.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from operations.books.rows import FINAL, LOST, NOTES, OPEN, UNDER_WAY, Row, of_order, of_payment, of_reservation

Severity = Literal["violation", "overdue", "attention"]

MOMENTS = timedelta(minutes=2)
"""In which what was told is followed: longer than a handler's retries (36 s) and than the restart of a service."""
RESERVATION_GRACE = timedelta(minutes=5)
"""Past an order's deadline. The decision is said again a minute after it, and following it takes moments."""
OUTBOX_GRACE = timedelta(minutes=1)
MANY_WAITS = 10
"""Answers in a row that were none. The delays double up to a minute: these ten took some five minutes."""

OVERDUE = ("order", "reservation", "payment", "refund", "outbox")
ATTENTION = ("unknown-outcome",)


_ENDS = ("released", "refunded")
"""Of a reservation and of a payment, after which the order's timeline gets the first and the second of NOTES."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """The states of a reservation or a payment that go with a state of the order."""

    agreed: frozenset[str]
    on_the_way: frozenset[str] = frozenset()
    """Those that show that an event has not been taken in yet: by the order service while the order is open, by the
    other once it is decided."""


_UNDONE = _Fit(frozenset({"released", "refused", "void", "absent"}), frozenset({"held"}))
_RESERVATION_OF = {
    "pending": _Fit(frozenset({"absent", "void"}), frozenset({"held", "refused"})),
    "confirmed": _Fit(frozenset({"held"})),
    "completed": _Fit(frozenset({"sold"}), frozenset({"held"})),
    "failed": _UNDONE,
    "cancelled": _UNDONE,
}
_PAYMENT_OPEN = _Fit(frozenset({"absent", "pending", "processing", "void"}), frozenset({"completed", "failed"}))
_PAYMENT_UNDONE = _Fit(frozenset({"failed", "cancelled", "refunded", "void", "absent"}), UNDER_WAY | {"completed"})
_PAYMENT_OF = {
    "pending": _PAYMENT_OPEN,
    "confirmed": _PAYMENT_OPEN,
    "completed": _Fit(frozenset({"completed"})),
    "failed": _PAYMENT_UNDONE,
    "cancelled": _PAYMENT_UNDONE,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """All that the three schemas know of one order."""

    order: Row | None
    reservation: Row | None
    payment: Row | None

    @property
    def order_id(self) -> UUID:
        row = self.order or self.reservation or self.payment
        assert row is not None, "an entry is of something"
        order_id: UUID = row["id"] if row is self.order else row["order_id"]
        return order_id


@dataclass(frozen=True, slots=True)
class Outbox:
    waiting: int = 0
    oldest: datetime | None = None
    unknown: int = 0
    """How many of those that wait are of orders that do not exist."""


@dataclass(frozen=True, slots=True)
class Finding:
    severity: Severity
    kind: str
    """One of OVERDUE or ATTENTION; of a violation, "violation"."""
    sentence: str


@dataclass(slots=True)
class Audit:
    """Takes in every entry, then the stock, the idempotency keys and the outboxes, and keeps what it finds. `settled`
    says that nothing moves any more: then whatever is still open or under way is a violation."""

    now: datetime
    items: Mapping[UUID, Row]
    """The stock, by product."""
    settled: bool = False
    findings: list[Finding] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    _held: Counter[UUID] = field(default_factory=Counter)
    _sold: Counter[UUID] = field(default_factory=Counter)

    @property
    def alarming(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity != "attention"]

    def take(self, entry: Entry) -> None:
        order, reservation, payment = entry.order, entry.reservation, entry.payment
        if reservation is not None and reservation["status"] in ("held", "sold"):
            sums = self._held if reservation["status"] == "held" else self._sold
            for line in reservation["items"] or ():
                sums[UUID(line["product_id"])] += line["quantity"]
        if order is None:
            for kind, row in (("reservation", reservation), ("payment", payment)):
                if row is not None and row["status"] != "void":  # a tombstone is of an order that may be lost
                    self._violation(f"There is a {kind} for order {row['order_id']}, which does not exist.")
            return
        self.statuses[order["status"]] += 1
        for sentence in self._of_order(order, reservation, payment):
            self._violation(sentence)
        if not self.settled:
            self._of_times(f"Order {order['id']}", order, reservation, payment)

    def take_stock(self, initial: Mapping[UUID, int]) -> None:
        """`initial` says what there was of each product before its first order; of products that it doesn't name, the
        sum can't be checked."""
        items, held, sold = self.items, self._held, self._sold
        for product in sorted(items.keys() | held.keys() | sold.keys() | initial.keys()):
            item = items.get(product)
            if item is None:
                self._violation(
                    f"Product {product} has no item, though {held[product]} of it are held and {sold[product]} sold."
                )
                continue
            available, reserved = item["quantity_available"], item["reserved_quantity"]
            if available < 0 or reserved < 0:
                self._violation(f"Product {product} has {available} available and {reserved} reserved.")
            if reserved != held[product]:
                self._violation(
                    f"Product {product} has {reserved} reserved, but its reservations add up to {held[product]}."
                )
            if product in initial and available + reserved + sold[product] != initial[product]:
                self._violation(
                    f"Product {product} began with {initial[product]}, but {available} available, {reserved} reserved "
                    f"and {sold[product]} sold make {available + reserved + sold[product]}."
                )

    def take_keys(self, keys: Mapping[UUID, tuple[int, bool]]) -> None:
        """By order id, how many idempotency keys stand for it, and whether it exists."""
        for order_id, (number, exists) in keys.items():
            if not exists:
                self._violation(f"There is an idempotency key for order {order_id}, which does not exist.")
            if number > 1:
                self._violation(f"Order {order_id} has {number} idempotency keys.")

    def take_outboxes(self, outboxes: Mapping[str, Outbox]) -> None:
        for schema, outbox in outboxes.items():
            if outbox.unknown:
                self._violation(f"The outbox of {schema} keeps {outbox.unknown} event(s) of orders that do not exist.")
            if outbox.waiting and self.settled:
                self._violation(f"The outbox of {schema} still keeps {outbox.waiting} event(s).")
            elif outbox.oldest is not None and self._past(outbox.oldest, OUTBOX_GRACE):
                self._found(
                    "overdue",
                    "outbox",
                    f"The outbox of {schema} keeps {outbox.waiting} event(s), the oldest {self._since(outbox.oldest)}.",
                )

    def _violation(self, sentence: str) -> None:
        self._found("violation", "violation", sentence)

    def _found(self, severity: Severity, kind: str, sentence: str) -> None:
        self.findings.append(Finding(severity, kind, sentence))

    def _past(self, moment: datetime, grace: timedelta) -> bool:
        return moment + grace < self.now

    def _since(self, moment: datetime) -> str:
        return f"since {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

    def _late(self, order: Row, other: Row) -> bool:
        """Whether whoever has to follow the younger of the two should have done so by now."""
        return self.settled or self._past(max(order["updated_at"], other["updated_at"]), MOMENTS)

    def _of_order(self, order: Row, reservation: Row | None, payment: Row | None) -> Iterator[str]:
        name, status = f"Order {order['id']}", order["status"]
        for complaint in of_order(order, reservation, payment, self.now):
            yield f"{name}: {complaint}."
        for complaint in of_reservation(order, reservation, self.items, self.now) if reservation else ():
            yield f"{name}: {complaint}."
        for complaint in of_payment(order, payment, self.now) if payment else ():
            yield f"{name}: {complaint}."
        if self.settled and status not in FINAL:
            yield f"{name} is {status}, which is not final."
            return
        held, paid = (reservation["status"] if reservation else "absent"), (payment["status"] if payment else "absent")
        if self._disagree(_RESERVATION_OF[status], order, reservation):
            yield f"{name} is {status}, but its reservation is {held}."
        if self._disagree(_PAYMENT_OF[status], order, payment):
            yield f"{name} is {status}, but its payment is {paid}."
        if (
            paid not in ("absent", "void")
            and held not in ("held", "sold", "released")
            and not _is_restored(order, payment)
        ):
            yield f"{name}: its payment is {paid}, though its reservation is {held}."
        told = {entry["event"]: entry["reason"] for entry in order["timeline"]}
        for note, row, what, end in zip(NOTES, (reservation, payment), ("reservation", "payment"), _ENDS, strict=True):
            happened = row is not None and row["status"] == end
            if note in told and not happened:
                yield f"{name}: its {what} is {row['status'] if row else 'absent'}, but its timeline has a line {note}."
            if row is not None and happened and note not in told and self._late(order, row):
                yield f"{name}: its {what} is {end}, but its timeline has no line {note}."
            if row is not None and happened and told.get(note, row["reason"]) != row["reason"]:
                yield f"{name}: its {what} is {end} for {row['reason']}, but its timeline says {note} for {told[note]}."

    def _disagree(self, fit: _Fit, order: Row, other: Row | None) -> bool:
        status = other["status"] if other else "absent"
        if other is None or status in fit.agreed:
            return status not in fit.agreed or _is_early_tombstone(order, other)
        return status not in fit.on_the_way or (self._late(order, other) and not self._waits_for_gateway(other))

    def _waits_for_gateway(self, other: Row) -> bool:
        """Whether only the gateway can say how the payment ends, which has no limit of its own."""
        return not self.settled and (
            other["status"] == "refunding" or (other["status"] == "processing" and other["outcome_unknown"])
        )

    def _of_times(self, name: str, order: Row, reservation: Row | None, payment: Row | None) -> None:
        status, expires_at = order["status"], order["expires_at"]
        if status in OPEN and self._past(expires_at, MOMENTS):
            self._found("overdue", "order", f"{name} is {status}, though its time is up {self._since(expires_at)}.")
        if (
            reservation is not None
            and reservation["status"] == "held"
            and self._past(reservation["expires_at"], RESERVATION_GRACE)
        ):
            self._found(
                "overdue", "reservation", f"{name} is {status} and expired, but its stock is held all the same."
            )
        if payment is None or payment["status"] not in UNDER_WAY:
            return
        if payment["due_at"] is not None and self._past(payment["due_at"], MOMENTS):
            due = f"its payment is {payment['status']}, and to be asked for {self._since(payment['due_at'])}"
            self._found("overdue", "payment", f"{name}: {due}.")
        if payment["waits"] >= MANY_WAITS:
            asked = f"the gateway has given no answer {payment['waits']} times in a row"
            if payment["status"] == "refunding":
                self._found("overdue", "refund", f"{name}: its refund is not done, {asked}.")
            else:
                self._found("attention", "unknown-outcome", f"{name}: charged or not, nobody knows, {asked}.")


def _is_early_tombstone(order: Row, other: Row | None) -> bool:
    """Of an order that is not decided, only what came past its deadline leaves a tombstone."""
    return (
        other is not None
        and other["status"] == "void"
        and order["status"] in OPEN
        and other["created_at"] < order["expires_at"]
    )


def _is_restored(order: Row, payment: Row | None) -> bool:
    """Whether `reconcile` entered one of the two after a restore, which the reservation did not outlive: an order that
    is lost, or a charge that the gateway reported, and that was never asked for."""
    reported = payment is not None and payment["status"] in ("refunding", "refunded") and payment["attempts"] == 0
    return order["reason"] == LOST or reported
