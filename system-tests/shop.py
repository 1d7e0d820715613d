"""The shop of the operators' tool, for tests: they wait for an order's end, and see a service that ends meanwhile."""

from collections.abc import Mapping
from typing import Any, Protocol

import httpx
from chassis.testing import eventually

from operations import shop
from operations.books.rows import FINAL


class Running(Protocol):
    @property
    def urls(self) -> Mapping[str, str]: ...
    @property
    def internal_urls(self) -> Mapping[str, str]: ...


class Shop(shop.Shop):
    def __init__(self, system: Running, client: httpx.AsyncClient) -> None:
        super().__init__(system.urls, client)
        self._system = system

    async def metric(self, service: str, name: str) -> float:
        return await shop.metric(self._client, self._system.internal_urls[service], name)

    async def ended(self, order_id: str, *, within_seconds: float = 15) -> dict[str, Any]:
        """The order, once it is final."""
        order: dict[str, Any] = {}

        async def final() -> bool:
            nonlocal order
            order = await self.order(order_id)
            return order["status"] in FINAL

        await eventually(final, seconds=within_seconds)
        return order
