"""Customers as they are: they come at a steady rate whatever the system is doing, and ask until they have an answer."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

import way
from chaos.catalogue import Catalogue, Order

PATIENCE_SECONDS = 4.0
"""What a request may take, before it is sent again under the same key, perhaps to the other replica."""
_AGAIN_SECONDS = (0.2, 2.0)
_MOST_AT_ONCE = 500
"""While so many customers have no answer, nobody else comes."""


class Shoppers:
    def __init__(self, order_urls: Sequence[str], catalogue: Catalogue, orders_a_second: float) -> None:
        self._urls = order_urls
        self._catalogue = catalogue
        self._orders_a_second = orders_a_second
        self._chance = random.Random(catalogue.seed)
        self._room = asyncio.Semaphore(_MOST_AT_ONCE)
        limits = httpx.Limits(max_connections=2 * _MOST_AT_ONCE, max_keepalive_connections=50)
        self._client = way.client(timeout=PATIENCE_SECONDS, limits=limits)
        self.placed = 0
        """How many orders were sent, and should all be accepted in the end."""
        self.accepted: dict[int, str] = {}
        """The id that the customer was told, by the order's number."""
        self.cancelled: set[int] = set()
        """Those whose cancellation was answered with 200."""
        self.kept: set[int] = set()
        """Those whose cancellation was answered with 409."""
        self.again: Counter[int] = Counter()
        """Requests that had to be sent again, by the answer's status; 0 where there was none."""
        self.complaints: list[str] = []

    async def shop(self, seconds: float) -> None:
        """Orders come for so long; returns when every one of them has been answered."""
        ends = time.monotonic() + seconds
        async with self._client, asyncio.TaskGroup() as customers:
            while time.monotonic() < ends:
                await self._room.acquire()
                customers.create_task(self._customer(self._catalogue.order(self.placed)))
                self.placed += 1
                await asyncio.sleep(self._chance.expovariate(self._orders_a_second))

    async def _customer(self, order: Order) -> None:
        told = await asyncio.gather(*(self._place(order) for _ in range(order.times)))
        self._room.release()
        if len(set(told)) > 1:
            self.complaints.append(f"Who sent {order.key} twice was told of {told}.")
        order_id = told[0]
        if order_id is None:
            return
        self.accepted[order.number] = order_id
        if order.cancelled_after_seconds is not None:
            await asyncio.sleep(order.cancelled_after_seconds)
            await self._cancel(order, order_id)

    async def _place(self, order: Order) -> str | None:
        answer = await self._until({201}, "POST", "/orders", json=order.body, headers={"Idempotency-Key": order.key})
        return str(answer.json()["id"]) if answer is not None else None

    async def _cancel(self, order: Order, order_id: str) -> None:
        answer = await self._until({200, 409}, "DELETE", f"/orders/{order_id}")
        if answer is not None:
            (self.cancelled if answer.status_code == 200 else self.kept).add(order.number)

    async def _until(
        self,
        answers: set[int],
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response | None:
        """Asks one replica or the other until one answers so, and gives up at an answer that none should give."""
        while True:
            try:
                url = self._chance.choice(self._urls)
                answer = await self._client.request(method, f"{url}{path}", json=json, headers=headers)
            except httpx.TransportError:
                self.again[0] += 1
            else:
                if answer.status_code in answers:
                    return answer
                if answer.status_code not in (429, *way.UNANSWERED):
                    self.complaints.append(f"{method} {path} was answered with {answer.status_code}: {answer.text}")
                    return None
                self.again[answer.status_code] += 1
            await asyncio.sleep(self._chance.uniform(*_AGAIN_SECONDS))
