"""The stock reserved for an order.

    new -> held -> sold | released        new -> refused        new -> void

`new` lasts no longer than the transaction that adds the reservation. `void` is a tombstone: the order was undone or
past its deadline before any stock was held for it, and none ever will be. A reservation ends only when the order
service has decided, and asks again for as long as it waits for that decision.
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
from domain.events import InventoryEvent, InventoryReleased, InventoryReserved, InventoryUnavailable, Line
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


@dataclass(slots=True, eq=False)
class Reservation:
    order_id: UUID
    customer_id: UUID
    status: Status
    reason: str | None
    items: tuple[Line, ...] | None
    """None for a tombstone, whose OrderCreated may never have come."""
    total_amount: Decimal | None
    currency: str | None
    expires_at: datetime
    """The order's deadline, past which no stock is newly held for it."""
    due_at: datetime | None
    """When a tombstone may be deleted."""
    remind_at: datetime | None
    """When to repeat that the stock is held, because no decision has come."""
    traceparent: str
    """The trace of the request that placed the order, to which all events of the reservation belong."""
    created_at: datetime
    updated_at: datetime
    events: list[InventoryEvent] = field(default_factory=list)
    """What happened since the reservation was created or loaded."""
    repeats: list[InventoryEvent] = field(default_factory=list)
    """Events that were published before, to be published again."""

    @classmethod
    def new(cls, order_id: UUID, customer_id: UUID, expires_at: datetime, traceparent: str, now: datetime) -> Self:
        return cls(
            order_id=order_id,
            customer_id=customer_id,
            status=Status.NEW,
            reason=None,
            items=None,
            total_amount=None,
            currency=None,
            expires_at=expires_at,
            due_at=None,
            remind_at=None,
            traceparent=traceparent,
            created_at=now,
            updated_at=now,
        )

    def reserve(
        self, lines: tuple[Line, ...], total_amount: Decimal, currency: str, stock: Mapping[UUID, Item], now: datetime
    ) -> None:
        """Holds every line; if one is short or unknown, holds none and is refused. Past the order's deadline the
        reservation is void and publishes nothing.

        Raises IllegalTransition unless the reservation is new.
        """
        if now >= self.expires_at:
            self.void(now)
            return
        reason = _shortage(lines, stock)
        self._become(Status.REFUSED if reason else Status.HELD, now, only_if=Status.NEW)
        self.items, self.total_amount, self.currency, self.reason = lines, total_amount, currency, reason
        if reason:
            self.events.append(self._unavailable())
            return
        for product_id, quantity in _quantities(lines).items():
            stock[product_id].reserve(quantity, now)
        self.remind_at = now + REMINDED_AFTER
        self.events.append(self._reserved())

    def void(self, now: datetime) -> None:
        """Leaves a tombstone. Raises IllegalTransition unless the reservation is new."""
        self._become(Status.VOID, now, only_if=Status.NEW)
        self.due_at = self.expires_at + TOMBSTONE_KEPT

    def sell(self, stock: Mapping[UUID, Item], now: datetime) -> None:
        """Takes the held stock away for good: the order is completed. Raises IllegalTransition unless held."""
        self._become(Status.SOLD, now, only_if=Status.HELD)
        for product_id, quantity in _quantities(self.items).items():
            stock[product_id].sell(quantity, now)

    def release(self, reason: str, stock: Mapping[UUID, Item], now: datetime) -> None:
        """Frees the held stock: the order is undone. Raises IllegalTransition unless held."""
        self._become(Status.RELEASED, now, only_if=Status.HELD)
        self.reason = reason
        for product_id, quantity in _quantities(self.items).items():
            stock[product_id].release(quantity, now)
        self.events.append(self._released())

    def remind(self, now: datetime) -> str | None:
        """Repeats that the stock is held, because the order should have been decided by now: the order service answers
        with its decision, if there is one, and the payment service with how the charge ended. The first reminder comes
        after a minute, the others at intervals that double up to an hour: each is as long as all before it and a
        minute.

        Returns which kind of reminder it is, or None for a reservation that is no longer held and so waits for nothing.
        """
        if self.status is not Status.HELD:
            self.remind_at = None
            return None
        self.remind_at = now + min(now - self.created_at + REMINDED_AFTER, LONGEST_INTERVAL)
        self.repeat()
        return "reservation"

    def repeat(self) -> bool:
        """Repeats the event of the reservation's status, for a service that seems not to know it. Returns False if
        this unit of work publishes an event of the reservation anyway.

        Raises IllegalTransition for a status that was never published: new, sold and void.
        """
        if self.events or self.repeats:
            return False
        match self.status:
            case Status.HELD:
                self.repeats.append(self._reserved())
            case Status.REFUSED:
                self.repeats.append(self._unavailable())
            case Status.RELEASED:
                self.repeats.append(self._released())
            case _:
                raise IllegalTransition(self.status, "announced again")
        return True

    def _reserved(self) -> InventoryReserved:
        assert self.items is not None, "only a tombstone has no items"
        assert self.total_amount is not None, "only a tombstone has no amount"
        assert self.currency is not None, "only a tombstone has no currency"
        return InventoryReserved(
            self.order_id, self.customer_id, self.items, self.total_amount, self.currency, self.expires_at
        )

    def _unavailable(self) -> InventoryUnavailable:
        return InventoryUnavailable(self.order_id, self.customer_id, self.reason or "")

    def _released(self) -> InventoryReleased:
        return InventoryReleased(self.order_id, self.customer_id, self.reason or "")

    def _become(self, wanted: Status, now: datetime, *, only_if: Status) -> None:
        if self.status is not only_if:
            raise IllegalTransition(self.status, wanted)
        self.status = wanted
        self.due_at = self.remind_at = None
        # A transaction begins before it has the lock, so the one that created the reservation may have begun later.
        self.updated_at = max(now, self.updated_at)


def _shortage(lines: Sequence[Line], stock: Mapping[UUID, Item]) -> str | None:
    """Why the stock is too short for these lines, or None if it suffices."""
    wanted = _quantities(lines)
    if not wanted.keys() <= stock.keys():
        return "unknown-product"
    enough = all(stock[product_id].has(quantity) for product_id, quantity in wanted.items())
    return None if enough else "out-of-stock"


def _quantities(lines: Sequence[Line] | None) -> Counter[UUID]:
    """By product: two lines with the same product are one sum."""
    sums: Counter[UUID] = Counter()
    for line in lines or ():
        sums[line.product_id] += line.quantity
    return sums
