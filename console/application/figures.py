"""Figures of the last ten minutes, a point a second, from what the services have counted."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from application.events import LANES, ORDER

POINTS = 600
DURATIONS_WITHIN_SECONDS = 10.0
"""The percentiles of a point are of the orders completed in the seconds before it."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One process of a service, as it was a moment ago."""

    name: str
    state: str
    """`ok`, `failing` or `away`."""
    problems: Sequence[str] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    """Its metrics, summed over all labels but `status`."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages in a service's queues."""

    queue: int
    retries: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Reading:
    at: float
    replicas: Mapping[str, Sequence[Replica]]
    waiting: Mapping[str, Waiting]
    """Empty while the broker is away."""


@dataclass(frozen=True, slots=True)
class Point:
    at: float
    placed: float
    completed: float
    undone: float
    p50: float | None
    p99: float | None
    backlog: int | None


class Figures:
    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=POINTS)
        self.reading: Reading | None = None
        self.rates: dict[str, dict[str, float]] = {lane: {} for lane in LANES}
        """Of each lane, what its replicas counted a second: events `taken` and `said`, and orders by status."""
        self._counted: dict[tuple[str, str, str], float] = {}

    def turn(self, reading: Reading, durations: Iterable[tuple[float, float]]) -> None:
        before, self.reading = self.reading, reading
        seconds = reading.at - before.at if before else 0.0
        for lane in LANES:
            self.rates[lane] = self._rates(lane, reading.replicas.get(lane, ()), seconds)
        p50, p99 = percentiles([took for at, took in durations if at > reading.at - DURATIONS_WITHIN_SECONDS])
        orders = self.rates[ORDER]
        undone = orders.get("orders_total/failed", 0.0) + orders.get("orders_total/cancelled", 0.0)
        placed, completed = orders.get("orders_total/pending", 0.0), orders.get("orders_total/completed", 0.0)
        self.points.append(Point(reading.at, placed, completed, undone, p50, p99, self.backlog()))

    def outbox(self, lane: str) -> tuple[int, float]:
        """Events in the service's outbox and the age of the oldest in seconds, as any replica saw them at its sweep."""
        replicas = self.reading.replicas.get(lane, ()) if self.reading else ()
        backlogs = [replica.figures.get("outbox_backlog", 0.0) for replica in replicas]
        ages = [replica.figures.get("outbox_oldest_age_seconds", 0.0) for replica in replicas]
        return int(max(backlogs, default=0)), max(ages, default=0.0)

    def counted(self, lane: str, name: str) -> int:
        """What the replicas have counted since they began."""
        replicas = self.reading.replicas.get(lane, ()) if self.reading else ()
        return int(sum(replica.figures.get(name, 0.0) for replica in replicas))

    def backlog(self) -> int | None:
        """What waits in outboxes, queues and retries; None while nobody can say."""
        if self.reading is None or not self.reading.waiting:
            return None
        queues = sum(waiting.queue + waiting.retries for waiting in self.reading.waiting.values())
        return queues + sum(self.outbox(lane)[0] for lane in LANES)

    def columns(self) -> dict[str, list[Any]]:
        """The points as curves are drawn: a list of each figure."""
        return {
            "at": [round(point.at, 1) for point in self.points],
            "placed": [round(point.placed, 1) for point in self.points],
            "completed": [round(point.completed, 1) for point in self.points],
            "undone": [round(point.undone, 1) for point in self.points],
            "p50": [point.p50 and round(point.p50, 3) for point in self.points],
            "p99": [point.p99 and round(point.p99, 3) for point in self.points],
            "backlog": [point.backlog for point in self.points],
        }

    def _rates(self, lane: str, replicas: Sequence[Replica], seconds: float) -> dict[str, float]:
        sums: dict[str, float] = {}
        for replica in replicas:
            for name, value in replica.figures.items():
                if not name.partition("/")[0].endswith("_total"):
                    continue
                last = self._counted.get((lane, replica.name, name))
                self._counted[lane, replica.name, name] = value
                if last is not None and seconds > 0:  # a process that began anew counts from nothing
                    sums[name] = sums.get(name, 0.0) + (value - last if value >= last else value) / seconds
        return sums


def percentiles(values: list[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    values.sort()
    return values[len(values) // 2], values[min(len(values) - 1, int(len(values) * 0.99))]
