"""What a mutation is, and the list of them."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from simulation.scenario import SERVICES


@dataclass(frozen=True, slots=True)
class Mutation:
    name: str
    services: tuple[str, ...]
    """In whose processes it is applied."""
    patch: Callable[[], None]
    bindings: tuple[tuple[str, str], ...] = ()
    """Routing key and queue that the broker has in addition."""
    healed_because: str = ""
    """Why no run can fail, if the design makes good for it."""


ALL: dict[str, Mutation] = {}


def mutation(
    name: str,
    *services: str,
    bindings: tuple[tuple[str, str], ...] = (),
    healed_because: str = "",
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Registers the decorated patch, which is run in the services' own interpreters. No service: all of them."""

    def register(patch: Callable[[], None]) -> Callable[[], None]:
        ALL[name] = Mutation(name, services or SERVICES, patch, bindings, healed_because)
        return patch

    return register


def apply(name: str, service: str) -> None:
    """Applies the mutation, if it concerns the service in whose process this is."""
    if service in ALL[name].services:
        ALL[name].patch()


def module(name: str) -> Any:
    """A module of the service, or of the chassis, in this process."""
    return import_module(name)


def unnoticed_conflicts() -> None:
    """Rows that another process has inserted first are taken for inserted."""
    repository = module("chassis.postgres.repository").PostgresRepository
    conflict = module("chassis.ports.errors").Conflict
    insert = repository.insert_added

    async def insert_unnoticed(self: Any) -> None:
        with suppress(conflict):
            await insert(self)

    repository.insert_added = insert_unnoticed
