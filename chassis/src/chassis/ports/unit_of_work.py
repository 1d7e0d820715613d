"""The unit of work, as use cases see it: one transaction for a whole batch."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from chassis.ports.events import Received


class Aggregate(Protocol):
    """What a repository keeps. Its fields hold values that never change in place (a tuple, no list), so that the unit
    of work can tell by comparing them whether the aggregate has changed."""

    traceparent: str
    """The trace that its events belong to."""
    events: list[Any]
    """What happened since it was created or loaded; published when the unit of work is committed."""
    repeats: list[Any]
    """Facts that were published before, to be published again because nobody answered."""


class Waiting(Aggregate, Protocol):
    """An aggregate that waits for an answer."""

    def remind(self, now: datetime) -> str | None:
        """Notes in `repeats` what is to be said again, and when to ask next; returns which kind of reminder it is, or
        None if it no longer waits for an answer."""


A = TypeVar("A")


class Repository(Protocol[A]):
    """Loads aggregates, and remembers them: what has changed by the end is saved by the unit of work."""

    async def locked(self, keys: Sequence[UUID]) -> dict[UUID, A]:
        """Those of the aggregates that exist, by key, locked in the order of their keys until the unit ends."""

    def add(self, added: A) -> A:
        """Adds a new aggregate. Should another unit of work add one with the same key first, this unit is run again,
        and finds it."""


W = TypeVar("W", bound=Waiting, covariant=True)


class Reminded(Protocol[W]):
    """A repository of aggregates that wait."""

    async def locked_to_remind(self, limit: int) -> Sequence[W]:
        """Those whose `remind_at` has come, the oldest first, locked; without those that another transaction has
        locked."""


class Unit(Protocol):
    """The part of the unit of work that every use case sees; each service adds its repositories."""

    @property
    def now(self) -> datetime:
        """The database's clock, the same for the whole transaction."""

    def unchanged(self, event: Received) -> None:
        """Counts an event that came twice, late or too early, and changed nothing."""

    def reminded(self, kind: str) -> None:
        """Counts a reminder, once the unit is committed."""

    async def first_this_second(self) -> bool:
        """Whether this is the first unit of all the service's processes that asks so in this second."""

    def after_commit(self, act: Callable[[], None]) -> None:
        """Runs `act` once the transaction is durable, and never if it isn't."""
