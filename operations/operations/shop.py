"""What a customer and a shopkeeper do with the running system, over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx

DECLINED_CUSTOMER = UUID("00000000-0000-4000-8000-000000000001")
FAILING_CUSTOMER = UUID("00000000-0000-4000-8000-000000000002")
FORGETFUL_CUSTOMER = UUID("00000000-0000-4000-8000-000000000003")
"""Test customers, as a card processor's test cards: declined, an error at every attempt, charged with the first answer
lost."""


async def metric(client: httpx.AsyncClient, url: str, name: str) -> float:
    """The sum of a service's metric over all its labels."""
    lines = (await client.get(f"{url}/metrics")).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


@dataclass(frozen=True, slots=True)
class Line:
    product_id: UUID
    quantity: int = 1
    price: float = 10.0


class Shop:
    """Every call raises httpx.HTTPStatusError for an answer that isn't a success, unless it says otherwise."""

    def __init__(self, urls: Mapping[str, str], client: httpx.AsyncClient) -> None:
        self._urls = urls
        self._client = client

    async def stock(self, quantity: int, product_id: UUID | None = None, price: float | None = None) -> UUID:
        """Makes so many pieces free to be ordered, at the price if there is one; a new product unless one is named."""
        product_id = product_id or uuid4()
        url = f"{self._urls['inventory-service']}/inventory/{product_id}"
        body = {"quantity_available": quantity} | ({} if price is None else {"price": price})
        (await self._client.put(url, json=body)).raise_for_status()
        return product_id

    async def stock_of(self, product_id: UUID) -> tuple[int, int]:
        """What is free to be ordered, and what is held."""
        item = await self._get(f"{self._urls['inventory-service']}/inventory/{product_id}")
        return item["quantity_available"], item["reserved_quantity"]

    async def ask(
        self, *lines: Line, customer: UUID | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Places an order and returns the answer, whatever it is."""
        items = [{"product_id": str(line.product_id), "quantity": line.quantity, "price": line.price} for line in lines]
        body = {"customer_id": str(customer or uuid4()), "items": items}
        return await self._client.post(f"{self._urls['order-service']}/orders", json=body, headers=headers)

    async def place(
        self, *lines: Line, customer: UUID | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        answer = await self.ask(*lines, customer=customer, headers=headers)
        answer.raise_for_status()
        order: dict[str, Any] = answer.json()
        return order

    async def cancel(self, order_id: str) -> httpx.Response:
        """Cancels an order and returns the answer, whatever it is."""
        return await self._client.delete(f"{self._urls['order-service']}/orders/{order_id}")

    async def order(self, order_id: str) -> dict[str, Any]:
        order: dict[str, Any] = await self._get(f"{self._urls['order-service']}/orders/{order_id}")
        return order

    async def timeline(self, order_id: str) -> list[dict[str, Any]]:
        timeline: list[dict[str, Any]] = await self._get(f"{self._urls['order-service']}/orders/{order_id}/timeline")
        return timeline

    async def payment(self, order_id: str) -> dict[str, Any] | None:
        answer = await self._client.get(f"{self._urls['payment-service']}/payments/order/{order_id}")
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        payment: dict[str, Any] = answer.json()
        return payment

    async def told(self, order: Mapping[str, Any]) -> list[str]:
        """The subjects of what the customer was told about the order, in the order of their sending."""
        url = f"{self._urls['notification-service']}/notifications?limit=200&customer_id={order['customer_id']}"
        return [note["subject"] for note in reversed(await self._get(url)) if order["id"] in note["message"]]

    async def metric(self, service: str, name: str) -> float:
        return await metric(self._client, self._urls[service], name)

    async def _get(self, url: str) -> Any:
        answer = await self._client.get(url)
        answer.raise_for_status()
        return answer.json()
