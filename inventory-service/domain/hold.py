"""The hold that an order has on stock.

    new -> held -> sold | released        new -> refused        new -> void

`new` lasts no longer than the transaction that adds the hold. `void` is a tombstone: the order was undone, or its time
had passed, before there was anything to hold, and nothing ever will be. No hold ends without the order service's
decision, and one that waits for it asks again.
"""

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Demand:
    """What an order wants held, with all that whoever charges for it needs to know."""

    items: tuple[Line, ...]
    total_amount: Decimal
    currency: str

    def quantities(self) -> dict[UUID, int]:
        """By product: the same product on two lines is held as one sum."""
        sums: dict[UUID, int] = {}
        for line in self.items:
            sums[line.product_id] = sums.get(line.product_id, 0) + line.quantity
        return sums


@dataclass(slots=True, eq=False)
class Hold:
    order_id: UUID
    customer_id: UUID
    status: Status
    reason: str | None
    demand: Demand | None
    """None for a tombstone, which may never have heard of it."""
    expires_at: datetime
    """The order's deadline, past which nothing is held for it any more."""
    due_at: datetime | None
    """When a tombstone may be forgotten."""
    remind_at: datetime | None
    """When to say again that the stock is held, because nobody has decided about it."""
    traceparent: str
    """The trace of the request that placed the order, which all its events bear."""
    created_at: datetime
    updated_at: datetime
    events: list[InventoryEvent] = field(default_factory=list)
    """What happened since the hold was made or loaded."""
    repeats: list[InventoryEvent] = field(default_factory=list)
    """What happened before, to be said again."""

    @classmethod
    def new(cls, order_id: UUID, customer_id: UUID, expires_at: datetime, traceparent: str, now: datetime) -> Self:
        return cls(
            order_id=order_id,
            customer_id=customer_id,
            status=Status.NEW,
            reason=None,
            demand=None,
            expires_at=expires_at,
            due_at=None,
            remind_at=None,
            traceparent=traceparent,
            created_at=now,
            updated_at=now,
        )

    def place(self, demand: Demand, items: Mapping[UUID, Item], now: datetime) -> None:
        """Holds every line, or none: then the hold is refused. Past the order's deadline it is void, and says nothing.

        Raises IllegalTransition unless the hold is new.
        """
        if now >= self.expires_at:
            return self.void(now)
        wanted = demand.quantities()
        if not wanted.keys() <= items.keys():
            return self._refuse("unknown-product", demand, now)
        if not all(items[product_id].has(quantity) for product_id, quantity in wanted.items()):
            return self._refuse("out-of-stock", demand, now)
        self._become(Status.HELD, {Status.NEW}, now)
        self.demand = demand
        for product_id, quantity in wanted.items():
            items[product_id].hold(quantity, now)
        self.remind_at = now + REMINDED_AFTER
        self.events.append(self._reserved())
        return None

    def void(self, now: datetime) -> None:
        """Leaves a tombstone. Raises IllegalTransition unless the hold is new."""
        self._become(Status.VOID, {Status.NEW}, now)
        self.due_at = self.expires_at + TOMBSTONE_KEPT

    def sell(self, items: Mapping[UUID, Item], now: datetime) -> None:
        """The order is completed: what was held is gone. Raises IllegalTransition unless held."""
        self._become(Status.SOLD, {Status.HELD}, now)
        for product_id, quantity in self._held().quantities().items():
            items[product_id].sell(quantity, now)

    def release(self, reason: str, items: Mapping[UUID, Item], now: datetime) -> None:
        """The order is undone: what was held is free again. Raises IllegalTransition unless held."""
        self._become(Status.RELEASED, {Status.HELD}, now)
        self.reason = reason
        for product_id, quantity in self._held().quantities().items():
            items[product_id].release(quantity, now)
        self.events.append(self._released())

    def remind(self, now: datetime) -> str | None:
        """Says once more that the stock is held, because the order should have been decided by now: the order service
        answers with its decision, if there is one, and the payment service tells how the charge ended. After a minute,
        then at intervals that double up to an hour: each is as long as all before it and a minute.

        Returns the kind of reminder that it is, or None for a hold that is not held, and waits for nothing.
        """
        if self.status is not Status.HELD:
            self.remind_at = None
            return None
        self.remind_at = now + min(now - self.created_at + REMINDED_AFTER, LONGEST_INTERVAL)
        self.repeat()
        return "reservation"

    def repeat(self) -> bool:
        """Says again how the hold stands, for a service that seems not to know. False if it is being said anyway.

        Raises IllegalTransition for a sale and a tombstone, of which nobody was told.
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

    def _refuse(self, reason: str, demand: Demand, now: datetime) -> None:
        self._become(Status.REFUSED, {Status.NEW}, now)
        self.demand = demand
        self.reason = reason
        self.events.append(self._unavailable())

    def _reserved(self) -> InventoryReserved:
        demand = self._held()
        return InventoryReserved(
            self.order_id, self.customer_id, demand.items, demand.total_amount, demand.currency, self.expires_at
        )

    def _unavailable(self) -> InventoryUnavailable:
        return InventoryUnavailable(self.order_id, self.customer_id, self.reason or "")

    def _released(self) -> InventoryReleased:
        return InventoryReleased(self.order_id, self.customer_id, self.reason or "")

    def _held(self) -> Demand:
        assert self.demand is not None, "a hold that was ever held has its demand"
        return self.demand

    def _become(self, wanted: Status, allowed: set[Status], now: datetime) -> None:
        if self.status not in allowed:
            raise IllegalTransition(self.status, wanted)
        self.status = wanted
        self.due_at = self.remind_at = None
        # A transaction begins before it has the lock: the one that made the hold may have begun later.
        self.updated_at = max(now, self.updated_at)
