"""What the page sees: it takes events and readings in, and gives a picture of this moment."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from application import events
from application.crowd import Crowd
from application.figures import Figures, Reading
from application.orders import Orders, SeenOrder
from application.sample import Sample

ORDERS_SHOWN = 14
WAITING_SHOWN = 18
STOCK_NOTES_KEPT = 500
DOCUMENTS_KEPT = 20


class Watching:
    def __init__(self) -> None:
        self.orders = Orders()
        self.sample = Sample()
        self.figures = Figures()
        self.feed = "resting"
        """`resting` while nobody looks, `following`, or why it doesn't follow: `away`, `no-queues`."""
        self.passed: deque[Mapping[str, Any]] = deque(maxlen=DOCUMENTS_KEPT)
        """The last events as they came, to say them again."""
        self.in_all: Mapping[str, int] | None = None
        """Orders by status, as the books had them a moment ago."""
        self.crowd: Crowd | None = None
        self.stock_before: dict[str, Mapping[str, Mapping[str, Any] | None]] = {}
        """The stock of an order's products when it was placed from the page, by the order's id."""

    def take(self, documents: Sequence[Any]) -> None:
        """Takes the events of one message in, or of the sample's orders those."""
        self.sample.count(len(documents))
        for document in documents:
            if self.sample.has(events.order_of(document)) and (event := events.read(document)):
                self.orders.take(event)
                self.passed.append(document)

    def turn(self, reading: Reading) -> None:
        before = self.figures.reading
        if self.sample.turn(reading.at - before.at if before else 1.0):
            self.orders.keep(self.sample.has)
        self.figures.turn(reading, self.orders.durations)

    def note_stock(self, order_id: str, stock: Mapping[str, Mapping[str, Any] | None]) -> None:
        self.stock_before[order_id] = stock
        while len(self.stock_before) > STOCK_NOTES_KEPT:
            del self.stock_before[next(iter(self.stock_before))]

    def picture(self, now: float) -> dict[str, Any]:
        point = self.figures.points[-1] if self.figures.points else None
        return {
            "at": now,
            "feed": self.feed,
            "share": self.sample.share,
            "in_all": self.in_all,
            "now": asdict(point) if point else None,
            "lanes": [self._lane(lane, now) for lane in events.LANES],
            "orders": [summary(order, now) for order in self.orders.recent(ORDERS_SHOWN)],
            "curves": self.figures.columns(),
            "crowd": self.crowd.picture() if self.crowd else None,
        }

    def _lane(self, name: str, now: float) -> dict[str, Any]:
        reading = self.figures.reading
        waiting = self.orders.waiting(name)
        oldest = min(waiting, key=lambda order: order.moved_at, default=None)
        outbox, age = self.figures.outbox(name)
        rates = self.figures.rates[name]
        queues = reading.waiting.get(name) if reading else None
        replicas = reading.replicas.get(name, ()) if reading else ()
        return {
            "name": name,
            "replicas": [
                {"name": replica.name, "state": replica.state, "problems": replica.problems} for replica in replicas
            ],
            "taken": rates.get("events_consumed_total", 0.0),
            "said": rates.get("events_published_total", 0.0),
            "taken_in_all": self.figures.counted(name, "events_consumed_total"),
            "said_in_all": self.figures.counted(name, "events_published_total"),
            "outbox": outbox,
            "outbox_age": age,
            "queues": asdict(queues) if queues else None,
            "waiting": len(waiting),
            "oldest": {"id": oldest.id, "seconds": max(now - oldest.moved_at, 0.0)} if oldest else None,
            "orders": [{"id": order.id, "status": order.status} for order in waiting[:WAITING_SHOWN]],
        }


def summary(order: SeenOrder, now: float) -> dict[str, Any]:
    """A line of a list of orders."""
    first = order.began_at
    last = max(now, order.moved_at) if order.waits_for else order.moved_at
    return {
        "id": order.id,
        "status": order.status,
        "customer_id": order.customer_id,
        "amount": order.amount,
        "at": first,
        "complete": order.complete,
        "waits_for": order.waits_for or None,
        "seconds": last - first,
        "steps": [
            {"name": event.name, "kind": events.kind(event.name), "lane": event.source, "reason": event.reason}
            for event in order.in_order()
        ],
    }
