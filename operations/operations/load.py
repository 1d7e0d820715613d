"""Places thousands of orders and checks the books.

Some of the orders are cancelled at a random moment. The exit status is 1 if an order is not final in time, if an order
had to ask again, or if the books disagree.
"""

import argparse
import asyncio
import json
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx

from operations import books, tokens
from operations.addresses import SERVICES, Refused, database_url, service_urls
from operations.lean_http import Connection
from operations.shop import DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER, Shop
from operations.waiting import until

DIFFICULT_CUSTOMERS = (DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER)
RETRY_AFTER_SECONDS = 0.1
_UNANSWERED = (0, 502, 503, 504)
"""No answer, or that of an edge behind which nobody answers."""
OVER_LIMIT_SECONDS = 10.0
"""What the edge says in Retry-After to an address that sends too much. Who asks sooner stays above the limit."""
_PIECES = 1_000_000
"""Of each product: none runs out."""
PATIENCE_SECONDS = 180.0
"""Customers give up when nobody's order was accepted for so long."""


@dataclass
class Load:
    """Customers who place orders of one to three products, and sometimes change their minds."""

    order_url: str
    products: list[UUID]
    clients: int
    cancel: float
    """The share of orders that is cancelled."""
    patience_seconds: float = 0.2
    """Who cancels does so within this time."""
    pause_seconds: float = 0.0
    """What a customer waits between two orders."""
    difficult: float = 0.0
    """The share of orders whose payment is declined, fails, or loses its first answer."""
    chance: random.Random = field(default_factory=random.Random)
    headers: dict[str, str] = field(default_factory=tokens.headers)
    accepted: list[str] = field(default_factory=list)
    latencies_seconds: list[float] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    """Those whose cancellation was answered with 200."""
    kept: set[str] = field(default_factory=set)
    """Those whose cancellation was answered with 409."""
    refused: Counter[int] = field(default_factory=Counter)
    """Answers to orders that were not 201, by status; 0 where there was none."""
    _left: int = 0

    async def place(self, orders: int) -> None:
        """Returns when so many orders have been accepted and every cancellation has been answered. Who gets no answer,
        a 429 or a 503, tries again: with a new order, or the same cancellation."""
        self._left = orders
        try:
            async with asyncio.TaskGroup() as group:
                patience = group.create_task(self._be_patient())
                await asyncio.wait([group.create_task(self._customer(group)) for _ in range(self.clients)])
                patience.cancel()
        except ExceptionGroup as group_of_errors:
            raise group_of_errors.exceptions[0] from None

    async def _be_patient(self) -> None:
        seen = -1
        while len(self.accepted) > seen:
            seen = len(self.accepted)
            await asyncio.sleep(PATIENCE_SECONDS)
        raise TimeoutError(f"no order was accepted in {PATIENCE_SECONDS:.0f} s; refused: {dict(self.refused)}")

    async def _customer(self, group: asyncio.TaskGroup) -> None:
        connection = Connection(self.order_url, self.headers)
        while self._left > 0:
            self._left -= 1
            began = time.perf_counter()
            status, body = await self._ask(connection, "POST", "/orders", self._order())
            if status == 201:
                order_id = json.loads(body)["id"]
                self.accepted.append(order_id)
                self.latencies_seconds.append(time.perf_counter() - began)
                if self.chance.random() < self.cancel:
                    group.create_task(self._change_mind(order_id))
            else:
                self.refused[status] += 1
                self._left += 1
                await _pause(status)
            if self.pause_seconds:
                await asyncio.sleep(self.chance.uniform(0, 2 * self.pause_seconds))
        connection.close()

    async def _change_mind(self, order_id: str) -> None:
        await asyncio.sleep(self.chance.uniform(0, self.patience_seconds))
        connection = Connection(self.order_url, self.headers)
        status, gives_up = 0, time.monotonic() + PATIENCE_SECONDS
        while status not in (200, 409):
            status, _ = await self._ask(connection, "DELETE", f"/orders/{order_id}")
            if status not in (200, 409, 429, *_UNANSWERED):
                raise AssertionError(f"DELETE /orders/{order_id}: {status}")
            if time.monotonic() > gives_up:
                raise TimeoutError(f"DELETE /orders/{order_id} has no answer after {PATIENCE_SECONDS:.0f} s")
            if status not in (200, 409):
                await _pause(status)
        (self.cancelled if status == 200 else self.kept).add(order_id)
        connection.close()

    async def _ask(
        self, connection: Connection, method: str, path: str, body: dict[str, object] | None = None
    ) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(30):
                return await connection.request(method, path, body)
        except (OSError, EOFError):  # TimeoutError is an OSError too
            return 0, b""

    def _order(self) -> dict[str, object]:
        lines = self.chance.sample(self.products, min(len(self.products), self.chance.randint(1, 3)))
        difficult = self.chance.random() < self.difficult
        customer = self.chance.choice(DIFFICULT_CUSTOMERS) if difficult else UUID(int=self.chance.getrandbits(128))
        return {
            "customer_id": str(customer),
            "items": [
                {
                    "product_id": str(product),
                    "quantity": self.chance.randint(1, 3),
                    "price": self.chance.randint(1, 20_000) / 100,
                }
                for product in lines
            ],
        }


async def _pause(status: int) -> None:
    await asyncio.sleep(OVER_LIMIT_SECONDS if status == 429 else RETRY_AFTER_SECONDS)


async def all_final(database: asyncpg.Connection, orders: list[str], *, within_seconds: float) -> bool:
    """Waits until every one of the orders is final; False if that takes too long."""
    query = "SELECT count(*) FROM orders.orders WHERE id = ANY($1::uuid[]) AND due_at IS NULL"

    async def final() -> bool:
        return int(await database.fetchval(query, orders)) >= len(orders)

    return await until(final, within_seconds=within_seconds)


async def settled_books(url: str, initial: dict[UUID, int], *, within_seconds: float) -> list[str]:
    """What the books say once they agree, or at last: the last releases and refunds follow the orders' ends."""
    found: list[str] = []

    async def agree() -> bool:
        nonlocal found
        found = await books.audit(url, initial)
        return not found

    await until(agree, within_seconds=within_seconds, every_seconds=0.2)
    return found


async def _counts(database: asyncpg.Connection, shop: Shop) -> dict[str, float]:
    """What the server and the services have counted so far; that an order or a reservation had to ask again is a count
    that does not grow on a healthy system. In production the edge shows nobody what the services count."""
    transactions = {"transactions": float(await database.fetchval("SELECT pg_current_xact_id()::text::bigint"))}
    if _in_production():
        return transactions

    async def of_all(metric: str) -> float:
        return sum([await shop.metric(service, metric) for service in SERVICES])

    return transactions | {
        "messages": await of_all("messages_published_total"),
        "asked again": sum([await of_all(f'reminders_total{{kind="{kind}"}}') for kind in ("order", "reservation")]),
    }


async def _place_and_judge(url: str, urls: dict[str, str], options: argparse.Namespace) -> bool:
    database = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        async with tokens.client() as client:
            return await _judged(url, database, Shop(urls, client), urls["order-service"], options)
    finally:
        await database.close()


async def _judged(
    url: str, database: asyncpg.Connection, shop: Shop, order_url: str, options: argparse.Namespace
) -> bool:
    initial = {await shop.stock(_PIECES): _PIECES for _ in range(options.products)}
    chance = random.Random(options.seed)  # noqa: S311 (the same seed places the same orders)
    load = Load(order_url, list(initial), options.clients, options.cancel, chance=chance)
    before = await _counts(database, shop)
    began = time.perf_counter()
    await load.place(options.orders)
    placed = time.perf_counter()
    final = await all_final(database, load.accepted, within_seconds=options.patience)
    ended = time.perf_counter()
    found = await settled_books(url, initial, within_seconds=20 if final else 0)
    cost = {name: count - before[name] for name, count in (await _counts(database, shop)).items()}
    statuses = await database.fetch(
        "SELECT status, count(*) FROM orders.orders WHERE id = ANY($1::uuid[]) GROUP BY 1 ORDER BY 2 DESC",
        load.accepted,
    )

    count = len(load.accepted)
    latencies = sorted(load.latencies_seconds)
    p50, p99 = (latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
    transactions, asked_again = cost["transactions"], cost.get("asked again")
    print(f"{count} orders of {options.clients} clients: {', '.join(f'{n} {status}' for status, n in statuses)}")
    print(f"  cancellations     {len(load.cancelled)} in time, {len(load.kept)} too late")
    if load.refused:
        print(f"  not accepted      {dict(load.refused)} (by status; 0: no answer)")
    if load.refused[429]:
        print("  (429: too much for one address; `make up EDGE_TRUSTED_ADDRESSES=127.0.0.1` exempts this machine)")
    print(f"  accepted          {count / (placed - began):8.0f} orders/s, POST p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    print(f"  final             {count / (ended - began):8.0f} orders/s, {ended - began:.2f} s in all")
    print(f"  transactions      {transactions / count:8.3f} an order ({transactions:.0f}, of the whole server)")
    if "messages" in cost:
        print(f"  AMQP messages     {cost['messages'] / count:8.3f} an order ({cost['messages']:.0f} published)")
    if asked_again:
        print(f"  asked again       {asked_again:.0f} times: something was lost, or took longer than 30 s")
    print("\n".join(found) if found else "  books             they agree")
    return final and not found and not asked_again


def _in_production() -> bool:
    return os.environ.get("ENVIRONMENT") == "production"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--orders", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--cancel", type=float, default=0.1, help="the share that is cancelled at a random moment")
    parser.add_argument("--products", type=int, default=50, help="how many products there are to order from")
    parser.add_argument("--patience", type=float, default=120, help="seconds to wait until all are final")
    parser.add_argument("--seed", type=int, default=None)


def run(options: argparse.Namespace) -> int:
    url = database_url()
    try:
        return 0 if asyncio.run(_place_and_judge(url, service_urls(), options)) else 1
    except (OSError, httpx.HTTPError) as error:
        raise Refused(f"The system does not answer ({error}): start it with `make up`.", 2) from None
