"""The stock reserved for an order.

    new -> held -> sold | released        new -> refused        new -> void

A reservation is `new` only within the transaction that adds it. A `void` reservation is a tombstone: the order was
undone, or its deadline passed, before any stock was held. A held one repeats its event until the order is decided.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self
from uuid import UUID

from domain.errors import IllegalTransition
from domain.events import InventoryEvent, InventoryReleased, InventoryReserved, InventoryUnavailable, Line, Shortage
from domain.item import Item

REMINDED_AFTER = timedelta(minutes=1)
LONGEST_INTERVAL = timedelta(hours=1)
TOMBSTONE_KEPT = timedelta(days=7)


class Status(StrEnum):
    NEW = "new"
    HELD = "held"
    SOLD = "sold"
    RELEASED = "released"
    REFUSED = "refused"
    VOID = "void"


@dataclass(slots=True, eq=False, kw_only=True)
class Reservation:
    order_id: UUID
    customer_id: UUID
    status: Status = Status.NEW
    reason: str | None = None
    shortages: tuple[Shortage, ...] = ()
    """What was missing when the order was refused for want of stock."""
    items: tuple[Line, ...] | None = None
    """None for a tombstone only."""
    total_amount: Decimal | None = None
    currency: str | None = None
    expires_at: datetime
    """The order's deadline, past which no stock is newly held for it."""
    due_at: datetime | None = None
    """When a tombstone may be deleted."""
    remind_at: datetime | None = None
    """When to repeat InventoryReserved, because no decision has come."""
    traceparent: str
    """The trace of the request that placed the order, and of all the reservation's events."""
    created_at: datetime
    updated_at: datetime
    events: list[InventoryEvent] = field(default_factory=list)
    repeats: list[InventoryEvent] = field(default_factory=list)
    """Earlier events to publish again."""

    @classmethod
    def new(cls, order_id: UUID, customer_id: UUID, expires_at: datetime, traceparent: str, now: datetime) -> Self:
        return cls(
            order_id=order_id,
            customer_id=customer_id,
            expires_at=expires_at,
            traceparent=traceparent,
            created_at=now,
            updated_at=now,
        )

    def reserve(
        self,
        lines: tuple[Line, ...],
        total_amount: Decimal,
        currency: str,
        stock: Mapping[UUID, Item],
        now: datetime,
        *,
        price_trusted: bool,
    ) -> None:
        """Holds every line, or refuses the order for the first of `_refusal`'s reasons, or because stock is short. Past
        the order's deadline the reservation becomes void. Raises IllegalTransition unless the reservation is new.

        `price_trusted`: whether a product without a price sells at the price that the order names."""
        if now >= self.expires_at:
            self.void(now)
            return
        reason = _refusal(lines, stock, price_trusted=price_trusted)
        wanted = _quantities(lines)
        if reason is None and (shortages := _shortages(wanted, stock)):
            reason, self.shortages = "out-of-stock", shortages
        self._become(Status.REFUSED if reason else Status.HELD, now, only_if=Status.NEW)
        self.items, self.total_amount, self.currency, self.reason = lines, total_amount, currency, reason
        if not reason:
            for product_id, quantity in wanted.items():
                stock[product_id].reserve(quantity, now)
            self.remind_at = now + REMINDED_AFTER
        self.events.append(self._event())

    def void(self, now: datetime) -> None:
        """Leaves a tombstone. Raises IllegalTransition unless the reservation is new."""
        self._become(Status.VOID, now, only_if=Status.NEW)
        self.due_at = self.expires_at + TOMBSTONE_KEPT

    def sell(self, stock: Mapping[UUID, Item], now: datetime) -> None:
        """The order is completed: the held stock leaves. Raises IllegalTransition unless the stock is held."""
        self._become(Status.SOLD, now, only_if=Status.HELD)
        for product_id, quantity in _quantities(self.items).items():
            stock[product_id].sell(quantity, now)

    def release(self, reason: str, stock: Mapping[UUID, Item], now: datetime) -> None:
        """The order is undone: the held stock is free again. Raises IllegalTransition unless the stock is held."""
        self._become(Status.RELEASED, now, only_if=Status.HELD)
        self.reason = reason
        for product_id, quantity in _quantities(self.items).items():
            stock[product_id].release(quantity, now)
        self.events.append(self._event())

    def remind(self, now: datetime) -> str | None:
        """Repeats InventoryReserved, which the order service answers with its decision, and the payment service with
        the charge's outcome: after REMINDED_AFTER, then at intervals that double up to LONGEST_INTERVAL.

        Returns the kind of reminder, or None if the stock is no longer held.
        """
        if self.status is not Status.HELD:
            self.remind_at = None
            return None
        self.remind_at = now + min(now - self.created_at + REMINDED_AFTER, LONGEST_INTERVAL)
        self.repeat()
        return "reservation"

    def repeat(self) -> bool:
        """Repeats the event of the present status, for a service that seems not to know it. False if an event is about
        to be published anyway. Raises IllegalTransition for a status without an event."""
        if self.events or self.repeats:
            return False
        self.repeats.append(self._event())
        return True

    def _event(self) -> InventoryEvent:
        ids = (self.order_id, self.customer_id)
        match self.status:
            case Status.HELD:
                assert self.items is not None, "only a tombstone has no items"
                assert self.total_amount is not None, "only a tombstone has no amount"
                assert self.currency is not None, "only a tombstone has no currency"
                return InventoryReserved(*ids, self.items, self.total_amount, self.currency, self.expires_at)
            case Status.REFUSED:
                return InventoryUnavailable(*ids, self.reason or "", self.shortages)
            case Status.RELEASED:
                return InventoryReleased(*ids, self.reason or "")
        raise IllegalTransition(self.status, "announced again")

    def _become(self, wanted: Status, now: datetime, *, only_if: Status) -> None:
        if self.status is not only_if:
            raise IllegalTransition(self.status, wanted)
        self.status = wanted
        self.due_at = self.remind_at = None
        # A transaction begins before it gets the lock, so the previous one may have begun later.
        self.updated_at = max(now, self.updated_at)


def _refusal(lines: Sequence[Line], stock: Mapping[UUID, Item], *, price_trusted: bool) -> str | None:
    """Why these lines can't be held, however much stock there is; None if they can."""
    wanted = _quantities(lines)
    if not wanted.keys() <= stock.keys():
        return "unknown-product"
    if any(stock[line.product_id].price not in (None, line.price) for line in lines):
        return "price-changed"
    if not price_trusted and any(stock[product_id].price is None for product_id in wanted):
        return "no-price"
    return None


def _shortages(wanted: Mapping[UUID, int], stock: Mapping[UUID, Item]) -> tuple[Shortage, ...]:
    """The products of which there are too few."""
    missing = ((product_id, stock[product_id].missing(quantity)) for product_id, quantity in wanted.items())
    return tuple(Shortage(product_id, number) for product_id, number in missing if number)


def _quantities(lines: Sequence[Line] | None) -> Counter[UUID]:
    """The sum of each product's lines."""
    sums: Counter[UUID] = Counter()
    for line in lines or ():
        sums[line.product_id] += line.quantity
    return sums
