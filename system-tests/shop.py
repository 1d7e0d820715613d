"""The shop of the operators' tool, for tests: they wait for an order's end, and see a service that ends meanwhile."""

from typing import Any

from chassis.testing import eventually

from operations import shop
from operations.books.rows import FINAL


class Shop(shop.Shop):
    async def ended(self, order_id: str, *, within_seconds: float = 15) -> dict[str, Any]:
        """The order, once it is final."""
        order: dict[str, Any] = {}

        async def final() -> bool:
            nonlocal order
            order = await self.order(order_id)
            return order["status"] in FINAL

        await eventually(final, seconds=within_seconds)
        return order
