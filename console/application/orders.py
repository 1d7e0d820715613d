"""The orders that the page has seen, each with its events."""

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from application.events import INVENTORY, Event, status, waits_for

MOST_ORDERS = 2_000
MOST_EVENTS = 100
"""Of one order; more are counted, and not kept."""
DURATIONS_KEPT = 5_000


@dataclass(slots=True)
class SeenOrder:
    id: str
    events: list[Event] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    twice: Counter[str] = field(default_factory=Counter)
    """How often an event came again, by its id."""
    customer_id: str | None = None
    amount: float | None = None
    waits_for: str = INVENTORY
    began_at: float = math.inf
    moved_at: float = 0.0
    """When its first and its last event were said."""

    @property
    def status(self) -> str:
        return status(self.names)

    @property
    def complete(self) -> bool:
        """Whether its first event was seen, so that nothing is missing before the others."""
        return "OrderCreated" in self.names

    def in_order(self) -> list[Event]:
        return sorted(self.events, key=lambda event: event.at)

    def take(self, event: Event) -> None:
        if any(known.id == event.id for known in self.events):
            self.twice[event.id] += 1
            return
        if len(self.events) < MOST_EVENTS:
            self.events.append(event)
        self.began_at, self.moved_at = min(self.began_at, event.at), max(self.moved_at, event.at)
        self.names.add(event.name)
        self.customer_id = self.customer_id or event.customer_id
        self.amount = event.amount if self.amount is None else self.amount
        self.waits_for = waits_for(self.names)


class Orders:
    """At most `most` orders: those with nothing to come are forgotten first, the longest unmoved before the others."""

    def __init__(self, most: int = MOST_ORDERS) -> None:
        self._most = most
        self._open: OrderedDict[str, SeenOrder] = OrderedDict()
        self._done: OrderedDict[str, SeenOrder] = OrderedDict()
        self.durations: deque[tuple[float, float]] = deque(maxlen=DURATIONS_KEPT)
        """When an order was completed, and the seconds that it took since it was placed."""

    def __len__(self) -> int:
        return len(self._open) + len(self._done)

    def __iter__(self) -> Iterator[SeenOrder]:
        """Those that moved last come first, of each kind."""
        yield from reversed(self._open.values())
        yield from reversed(self._done.values())

    def get(self, order_id: str) -> SeenOrder | None:
        return self._open.get(order_id) or self._done.get(order_id)

    def take(self, event: Event) -> None:
        order = self._open.pop(event.order_id, None) or self._done.pop(event.order_id, None)
        if order is None:
            order = SeenOrder(event.order_id)
            if len(self) >= self._most:
                (self._done or self._open).popitem(last=False)
        was_completed = "OrderCompleted" in order.names
        order.take(event)
        (self._open if order.waits_for else self._done)[order.id] = order
        if order.complete and "OrderCompleted" in order.names and not was_completed:
            at = next((known.at for known in order.events if known.name == "OrderCompleted"), event.at)
            self.durations.append((at, max(at - order.began_at, 0.0)))

    def keep(self, followed: Callable[[str], bool]) -> None:
        """Forgets the open orders that are no longer followed: they would seem to wait for ever."""
        for order_id in [order_id for order_id in self._open if not followed(order_id)]:
            del self._open[order_id]

    def waiting(self, lane: str) -> list[SeenOrder]:
        """The orders whose next step is the lane's, the longest unmoved first."""
        return [order for order in self._open.values() if order.waits_for == lane]

    def recent(self, number: int) -> list[SeenOrder]:
        """The newest, by the time at which they were placed."""
        candidates = [*islice(reversed(self._open.values()), 4 * number)]
        candidates += islice(reversed(self._done.values()), 4 * number)
        return sorted(candidates, key=lambda order: order.began_at, reverse=True)[:number]
