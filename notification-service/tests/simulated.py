"""This service as system-tests/simulation runs it: what main.py composes, with a channel that tells the simulation.
Loaded by name in an interpreter of its own, because the four services' packages bear the same names."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from application.notify_customers import NotifyCustomers
from chassis.ports.ids import RecentIds
from infrastructure.messages import CONSUMED, PUBLISHED

from application.send_notifications import SendNotifications
from infrastructure.recent_notifications import RecentNotifications
from infrastructure.unit_of_work import MemoryUnitOfWork

__all__ = ["CONSUMED", "NAME", "PUBLISHED", "compose", "make_store", "read_answer"]

NAME = "notification-service"


class Store:
    """Nothing: this service has no database."""

    changed = False

    def begin(self, now: datetime) -> "Store":
        return self

    def commit(self) -> None:
        pass

    def close(self) -> None:
        pass

    def statuses(self) -> dict[UUID, str]:
        return {}

    def due(self) -> dict[str, datetime]:
        return {}

    def prune(self, statement: object, now: datetime) -> bool:
        return False

    def rows(self) -> list[dict[str, Any]]:
        return []


class SimulatedChannel:
    name = "simulated"

    def __init__(self, told: Callable[[UUID, str], None]) -> None:
        self._told = told

    async def send(self, customer_id: UUID, subject: str, message: str) -> None:
        self._told(customer_id, subject)


class Composed:
    def __init__(self, told: Callable[[UUID, str], None]) -> None:
        self._known = RecentIds()
        self.consume = NotifyCustomers(SendNotifications(SimulatedChannel(told), RecentNotifications()))
        self.requests: Mapping[str, Any] = {}
        self.jobs: Mapping[str, Any] = {}
        self.workers: Sequence[Any] = ()
        self.prune: list[Any] = []

    def units(self) -> MemoryUnitOfWork:
        return MemoryUnitOfWork(self._known)


def make_store(new_lock: object, settings: Mapping[str, Any]) -> Store:
    return Store()


def compose(
    *, database: object, encoder: object, outbox: object, store: Store, world: Any, gateway: object
) -> Composed:
    return Composed(world.told)


def read_answer(answer: str) -> str:
    return answer
