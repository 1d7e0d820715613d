"""The unit of work of a service without a database. It remembers each event once the customer was told, because it
can't roll back. After a crash a customer may be told twice."""

from collections.abc import Sequence
from typing import Self

from chassis.ports.events import Received
from chassis.ports.ids import RecentIds


class MemoryUnitOfWork:
    def __init__(self, told: RecentIds) -> None:
        self._told = told

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def take_in(self, consumer: str, events: Sequence[Received]) -> list[Received]:
        return list({event.id: event for event in events if event.id not in self._told}.values())

    def told(self, event: Received) -> None:
        self._told.add(event.id)

    async def commit(self) -> None:
        pass
