"""The load: customers who place orders, either as fast as they are answered or at a given rate."""

import asyncio
import itertools
import json
import random
import ssl
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from operations.issuer import token
from operations.lean_http import Connection

RETRY_AFTER_SECONDS = 0.1
PRICE = 19.99
TOKEN_SECONDS = 3600
PATIENCE_SECONDS = 60.0
"""If no order is accepted in that time, whatever the answers are or if there are none, the run gives up."""


class GaveUp(Exception):
    pass


@dataclass
class Basket:
    """What customers order."""

    products: Sequence[UUID]
    empty: UUID
    """Of this product there is nothing."""
    fewest: int = 1
    most: int = 1
    """Lines of an order."""
    no_stock: float = 0.0
    """The share of orders for something that there is nothing of."""

    def order(self) -> dict[str, object]:
        number = self.fewest if self.fewest == self.most else random.randint(self.fewest, self.most)
        chosen = [random.choice(self.products)] if number == 1 else random.sample(self.products, number)
        if self.no_stock and random.random() < self.no_stock:
            chosen[0] = self.empty
        return {
            "customer_id": str(UUID(int=random.getrandbits(128))),
            "items": [{"product_id": str(product), "quantity": 1, "price": PRICE} for product in chosen],
        }


@dataclass
class Access:
    """How a contestant lets callers in; one that checks nobody lets in everybody."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Of every request: staff's token, where one is asked for."""
    tls: ssl.SSLContext | None = None
    own_tokens: bool = False
    """Each order is its customer's own, who has a token that no service has seen before."""
    keys: bool = False
    """Each order has an Idempotency-Key."""
    _ready: deque[tuple[str, str]] = field(default_factory=deque)

    def prepare(self, orders: int) -> None:
        """Signs the tokens of so many customers, which must cost nobody while it is measured."""
        while self.own_tokens and len(self._ready) < orders:
            customer = str(uuid4())
            self._ready.append((customer, token("customer", sub=customer, seconds=TOKEN_SECONDS)))

    def admit(self, order: dict[str, object]) -> dict[str, str]:
        """The headers of this order alone; it becomes the customer's whose token it has."""
        headers = {"Idempotency-Key": str(uuid4())} if self.keys else {}
        if self.own_tokens:
            order["customer_id"], own = self._ready.popleft()
            headers["Authorization"] = f"Bearer {own}"
        return headers


@dataclass
class Placed:
    """What came of one phase of load. Times are the wall clock's, which the database on this machine shares."""

    began: dict[UUID, float] = field(default_factory=dict)
    """By order, when it was (or, at a given rate, should have been) sent."""
    latencies_seconds: list[float] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0
    """When the first order was sent, and the last one answered."""
    refused: Counter[int] = field(default_factory=Counter)
    """Answers that were not 201, by status (0: no answer at all); such an order is placed again."""


class Generator:
    def __init__(
        self,
        order_urls: Sequence[str],
        clients: int,
        basket: Basket,
        cancels: float = 0.0,
        access: Access | None = None,
    ) -> None:
        """`cancels` is the share of orders that is cancelled as soon as it is accepted. Clients keep their connections,
        and are dealt out to the replicas."""
        self._access = access = access or Access()
        common = {} if access.own_tokens else access.headers
        urls = itertools.islice(itertools.cycle(order_urls), clients)
        self._connections = [Connection(url, common, access.tls) for url in urls]
        self._basket = basket
        self._cancels = cancels

    async def closed(self, orders: int) -> Placed:
        """Every client places its next order as soon as the last one is answered."""
        self._access.prepare(orders)
        return await self._place(itertools.repeat(None, orders), len(self._connections))

    async def open(self, orders: int, rate: float) -> Placed:
        """So many orders a second, whether or not earlier ones are answered. One that no client was free to send in
        time counts from when it should have been sent."""
        self._access.prepare(orders)
        began = time.time()
        # A client that has less than an order a second to send would find its connection closed: it idled too long.
        clients = min(len(self._connections), max(1, round(rate)))
        return await self._place((began + number / rate for number in range(orders)), clients)

    async def _place(self, starts: Iterable[float | None], number_of_clients: int) -> Placed:
        self.close()  # those that idled since the last phase may have been closed at the other end
        placed = Placed(first=time.time())
        shared = iter(starts)
        try:
            async with asyncio.TaskGroup() as group:
                patience = group.create_task(self._be_patient(placed))
                connections = self._connections[:number_of_clients]
                await asyncio.wait([group.create_task(self._customer(each, shared, placed)) for each in connections])
                patience.cancel()
        except ExceptionGroup as group_of_errors:
            raise group_of_errors.exceptions[0] from None
        placed.last = time.time()
        return placed

    async def _be_patient(self, placed: Placed) -> None:
        seen = -1
        while len(placed.began) > seen:
            seen = len(placed.began)
            await asyncio.sleep(PATIENCE_SECONDS)
        raise GaveUp(f"No order was accepted in {PATIENCE_SECONDS:.0f} s; refused, by status: {dict(placed.refused)}")

    async def _customer(self, connection: Connection, starts: Iterator[float | None], placed: Placed) -> None:
        for start in starts:
            began = time.time() if start is None else start
            if (early := began - time.time()) > 0:
                await asyncio.sleep(early)
            order = self._basket.order()
            headers = self._access.admit(order)
            while True:
                status, body = await self._post(connection, order, headers)
                if status == 201:
                    break
                if 400 <= status < 500 and status != 429:
                    raise GaveUp(f"POST /orders was answered {status}: {body[:500]!r}")
                placed.refused[status] += 1
                await asyncio.sleep(RETRY_AFTER_SECONDS)
            placed.latencies_seconds.append(time.time() - began)
            order_id = json.loads(body)["id"]
            placed.began[UUID(order_id)] = began
            if self._cancels and random.random() < self._cancels:
                status, body = await connection.request("DELETE", f"/orders/{order_id}", headers=headers)
                assert status in (200, 409), f"DELETE /orders/{order_id}: {status} {body!r}"

    async def _post(
        self, connection: Connection, order: Mapping[str, object], headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Status 0 if there is no answer to an order with a key, which may be placed again."""
        try:
            return await connection.request("POST", "/orders", order, headers)
        except (OSError, EOFError):
            if not self._access.keys:
                raise
            return 0, b""

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
