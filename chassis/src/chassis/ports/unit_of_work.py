"""The unit of work, as use cases see it: one transaction for a whole batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from chassis.ports.events import Received

A = TypeVar("A")


class Repository(Protocol[A]):
    """Loads aggregates and remembers them; at commit the unit of work saves those that have changed.

    It tells by comparing an aggregate's fields, so these must hold values that never change in place (a tuple, not a
    list). If an aggregate has `events`, which have happened since it was created or loaded, or `repeats` of earlier
    ones, the commit publishes them in the aggregate's trace, `traceparent`.
    """

    async def locked(self, keys: Sequence[UUID]) -> dict[UUID, A]:
        """The aggregates that exist, by key, locked in the order of their keys until the unit ends."""

    def add(self, added: A) -> A:
        """Adds a new aggregate. If another unit adds one with its key first, this unit is run again and finds it."""


class Unit(Protocol):
    """The part of the unit of work that every use case needs; each service adds its repositories."""

    @property
    def now(self) -> datetime:
        """The database's clock, the same for the whole transaction."""

    def unchanged(self, event: Received) -> None:
        """Counts an event that came twice, late or too early and so changed nothing."""

    def reminded(self, kind: str) -> None:
        """Counts a reminder, once the unit is committed."""

    async def first_this_second(self) -> bool:
        """Whether no other unit, in whichever of the service's processes, has asked this in the current second."""

    def after_commit(self, act: Callable[[], None]) -> None:
        """Runs `act` once the transaction is durable, and never if it isn't."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An idempotency key, the digest of its request, and the id of the resource that the request creates."""

    caller: str
    """The key's owner: two callers may use the same key without meeting."""
    key: str
    fingerprint: bytes
    resource_id: UUID


class KeyedUnit(Unit, Protocol):
    """For requests that come again: the keys are committed with what the requests create."""

    async def claim(self, claims: Sequence[Claim]) -> Mapping[UUID, Claim]:
        """Returns, by each claim's resource_id, the owner of its key: the claim itself, or an earlier one."""

    async def release(self, claims: Sequence[Claim]) -> None:
        """Gives up keys of which these claims have become the owners in this unit."""
