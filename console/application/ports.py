"""What the page needs of the rest of the system."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from application.figures import Replica, Waiting
from application.story import Told

AUTHORIZATION: ContextVar[str | None] = ContextVar("authorization", default=None)
"""The header of whoever asks the page. Services are asked with it: they decide by its roles, and note who it was."""


@dataclass
class Refused(Exception):
    """What a service answers to somebody who asks for what it can't do; `detail` is for people."""

    status: int
    slug: str
    detail: str


class Feed(Protocol):
    state: str
    waiting: dict[str, Waiting]

    def look(self) -> None: ...


class Services(Protocol):
    """Raises Refused for what a service refuses, and Unavailable if it doesn't answer."""

    async def replicas(self) -> dict[str, list[Replica]]: ...

    async def told(self, order_id: str) -> Told: ...

    async def orders(self, asked: Mapping[str, str]) -> list[dict[str, Any]]: ...

    async def order(self, order_id: str) -> dict[str, Any]: ...

    async def place(self, order: Mapping[str, Any]) -> dict[str, Any]: ...

    async def cancel(self, order_id: str) -> dict[str, Any]: ...

    async def stock(self) -> list[dict[str, Any]]: ...

    async def stock_of(self, product_id: str) -> dict[str, Any] | None: ...

    async def set_stock(self, product_id: str, stock: Mapping[str, Any]) -> dict[str, Any]: ...

    async def change_stock(self, product_id: str, difference: int, key: str) -> dict[str, Any]: ...


class Breaking(Protocol):
    """What is broken to see it heal, in development. Raises Refused and Unavailable as Services does."""

    async def kill(self, service: str, replica: str | None) -> None: ...

    async def disconnect(self, service: str) -> None: ...

    async def gateway(self, answers: str) -> None: ...

    async def poison(self) -> int: ...

    async def again(self, documents: Sequence[Mapping[str, Any]]) -> int: ...

    async def wipe(self, service: str) -> int: ...


class Operators(Protocol):
    """The operators' tool. Raises Unavailable if the server that it needs is away."""

    async def counts(self) -> dict[str, int]: ...

    async def books(self) -> dict[str, Any]: ...

    async def dead_letters(self) -> list[dict[str, Any]]: ...

    async def settle(self, action: str, services: Sequence[str], letter_id: str | None) -> int: ...
