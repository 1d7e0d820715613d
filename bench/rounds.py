"""One round of one contestant: started fresh, warmed up, measured, its books checked, removed."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none

import meter
from contestants import Baseline, Floor
from generator import PRICE, Access, Basket, Generator, Placed
from operations.lean_http import Connection

Figures = dict[str, float]
"""By name; report.py says what each is. What is not measured is not there."""

EDGE = "edge"
CONSOLE = "console"
SERVERS = ("PostgreSQL", "RabbitMQ", EDGE)
"""What an order passes besides the services."""
GENERATOR = "load generator"
STOCK = 100_000_000
LOW_RATE = 20.0
WARM_UP_RATE = 50.0
WARM_UP_ORDERS = 100
WARM_UP_AT_MOST = 3000
FINAL_WITHIN_SECONDS = 300.0
BOOKS_AGREE_WITHIN_SECONDS = 20.0
_POLL_SECONDS = 0.01
_POLL_SECONDS_AN_ORDER = 0.0005


@dataclass(frozen=True)
class Options:
    orders: int
    """How many the system is given under load. The baseline, which takes its time, gets a fifth; the floor twice."""
    clients: int
    rate: float
    """Orders a second under load, whether answered or not; 0: as fast as the clients get their answers."""
    low_seconds: float
    products: int
    items: tuple[int, int]
    """The fewest and the most lines of an order."""
    failures: float
    no_stock: float
    cancels: float
    replicas: int

    @property
    def mixed(self) -> bool:
        return bool(self.failures or self.no_stock or self.cancels)


@dataclass(frozen=True)
class Servers:
    """Whom a round asks about the two servers, and the processes that these consist of."""

    management_url: str
    pids: dict[str, list[int]]


class Costs:
    """CPU time by process since it was made; the load generator is this process."""

    def __init__(self, pids: dict[str, list[int]]) -> None:
        self._pids = pids
        self._began = time.monotonic()
        self._before = self._now()
        self._busy_before = meter.machine_busy_ms()

    def _now(self) -> Figures:
        used = {name: meter.cpu_ms(roots) for name, roots in self._pids.items()}
        return used | {GENERATOR: time.process_time() * 1000}

    def an_order(self, orders: int) -> Figures:
        """And which share of the machine's time everybody else had, kernel threads included."""
        spent = {name: after - self._before[name] for name, after in self._now().items()}
        there_was = (time.monotonic() - self._began) * 1000 * (os.cpu_count() or 1)
        others = meter.machine_busy_ms() - self._busy_before - sum(spent.values())
        return {f"cpu {name}": ms / orders for name, ms in spent.items()} | {"others": max(others, 0) / there_was}


@dataclass(frozen=True)
class Shop:
    """A contestant with stock on its shelves, and those who order there."""

    contestant: Baseline
    options: Options
    servers: Servers
    load: Generator
    database: asyncpg.Connection
    initial: dict[UUID, int]
    """The stock of each product."""

    async def all_quiet(self) -> float:
        """Waits until every order is final and the services have nothing to do any more: when the last one was."""
        ended = await _all_final(self.database, self.contestant)
        await meter.quiet(pid for pids in self.contestant.pids.values() for pid in pids)
        return ended

    async def under_load(self, orders: int) -> tuple[Placed, Figures]:
        self.contestant.access.prepare(orders)
        costs = Costs(self.contestant.pids | self.servers.pids | self.contestant.beside_pids)
        placed = await _place(self.load, orders, self.options)
        ended = await self.all_quiet()
        return placed, _load_figures(placed, costs.an_order(orders), ended) | _memory(self.contestant.pids)

    async def settled(self) -> list[str]:
        """What the books say once they agree, or at last: the last releases and refunds follow the orders' ends."""
        deadline = time.monotonic() + BOOKS_AGREE_WITHIN_SECONDS
        while True:
            last = time.monotonic() > deadline  # a look at a million orders may itself take longer
            found = await self.contestant.violations(self.initial)
            if not found or last:
                return found
            await asyncio.sleep(0.5)


@asynccontextmanager
async def opened(contestant: Baseline, options: Options, servers: Servers) -> AsyncIterator[Shop]:
    products, empty = _products(options), uuid4()
    initial = dict.fromkeys(products, STOCK) | {empty: 0}
    await _stock(contestant.inventory_url, initial, contestant.access)
    basket = Basket(products, empty, *options.items, options.no_stock)
    load = Generator(contestant.order_urls, options.clients, basket, options.cancels, contestant.access)
    database = await asyncpg.connect(contestant.database_url.replace("+asyncpg", ""))
    try:
        yield Shop(contestant, options, servers, load, database, initial)
    finally:
        load.close()
        await database.close()


async def floor_round(floor: Floor, options: Options) -> Figures:
    load = Generator(floor.order_urls, options.clients, Basket(_products(options), uuid4(), *options.items))
    await load.closed(options.orders // 5)
    costs = Costs(floor.pids)
    placed = await _place(load, options.orders if options.rate else options.orders * 2, options)
    spent = costs.an_order(len(placed.began))
    load.close()
    return _load_figures(placed, spent, placed.last) | _memory(floor.pids)


async def saga_round(
    contestant: Baseline, orders: int, options: Options, servers: Servers
) -> tuple[Figures, list[str]]:
    """The figures, and what of the books does not agree."""
    async with opened(contestant, options, servers) as shop:
        await _warm_up(shop.load, orders, contestant, servers)
        await shop.all_quiet()
        low = await shop.load.open(round(LOW_RATE * options.low_seconds), LOW_RATE)
        await shop.all_quiet()
        await asyncio.sleep(meter.BROKER_TELLS_AFTER_SECONDS)

        await shop.database.execute("CHECKPOINT")  # so that nobody pays for what others wrote
        counted = await _counted(shop.database, contestant, servers)
        placed, figures = await shop.under_load(orders)
        await asyncio.sleep(meter.BROKER_TELLS_AFTER_SECONDS)
        since = await _counted(shop.database, contestant, servers)

        figures |= {f"{name} an order": (since[name] - counted[name]) / orders for name in counted}
        figures |= await _completions(shop.database, contestant, placed, "loaded")
        figures |= await _completions(shop.database, contestant, low, "low")
        figures |= _percentiles("low post", low.latencies_seconds)
        wrong = await shop.settled()
        return figures | {"disagreements": len(wrong)}, wrong


async def _place(load: Generator, orders: int, options: Options) -> Placed:
    return await (load.open(orders, options.rate) if options.rate else load.closed(orders))


def _products(options: Options) -> list[UUID]:
    return [uuid4() for _ in range(options.products)]


def _load_figures(placed: Placed, spent: Figures, ended: float) -> Figures:
    orders = len(placed.began)
    of_python = sum(cost for name, cost in spent.items() if name.endswith("-service"))
    of_servers = sum(spent.get(f"cpu {name}", 0) for name in SERVERS)
    return (
        spent
        | {
            "cpu": of_python + of_servers,
            "cpu Python": of_python,
            "orders": orders,
            "accepted/s": orders / (placed.last - placed.first),
            "completed/s": orders / (ended - placed.first),
            "refused": placed.refused.total(),
        }
        | _percentiles("post", placed.latencies_seconds)
    )


def _percentiles(name: str, seconds: Sequence[float]) -> Figures:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {f"{name} p{share}": ordered[len(ordered) * share // 100] * 1000 for share in (50, 99)}


def _memory(pids: dict[str, list[int]]) -> Figures:
    figures = {f"rss {name}": meter.memory_mb(replicas)[0] for name, replicas in pids.items()}
    rss, pss = meter.memory_mb(pid for replicas in pids.values() for pid in replicas)
    return figures | {"rss": rss, "pss": pss}


async def _warm_up(load: Generator, orders: int, contestant: Baseline, servers: Servers) -> None:
    """Until consumers are past their careful beginning, in which they take a message at a time; nearly every order has
    messages of its own at such a rate. Then as under load, so that all pools are full."""
    for _ in range(WARM_UP_AT_MOST // WARM_UP_ORDERS):
        await load.open(WARM_UP_ORDERS, WARM_UP_RATE)
        if await meter.smallest_prefetch(servers.management_url, contestant.vhost) > 1:
            break
    await load.closed(orders // 10)


async def _stock(url: str, quantities: dict[UUID, int], access: Access) -> None:
    """With the price that every order names: in production a customer may order nothing without one."""
    connection = Connection(url, access.headers, access.tls)
    for product, quantity in quantities.items():
        stock = {"quantity_available": quantity, "price": PRICE}
        status, body = await connection.request("PUT", f"/inventory/{product}", stock)
        assert status == 201, f"PUT /inventory/{product}: {status} {body!r}"
    connection.close()


async def _all_final(database: asyncpg.Connection, contestant: Baseline) -> float:
    """Waits until no order is open any more: when that was. Asked after the last order was answered, and the more often
    the fewer are left, so that the question costs next to nothing."""
    deadline = time.monotonic() + FINAL_WITHIN_SECONDS
    while left := await database.fetchval(f"SELECT count(*) FROM {contestant.open_orders}"):
        if time.monotonic() > deadline:
            raise SystemExit(f"{left} orders were not final after {FINAL_WITHIN_SECONDS:.0f} s.")
        await asyncio.sleep(min(max(_POLL_SECONDS, left * _POLL_SECONDS_AN_ORDER), 1))
    return time.time()


async def _counted(database: asyncpg.Connection, contestant: Baseline, servers: Servers) -> dict[str, int]:
    """Transactions by their numbers: whoever writes nothing has none. The server is this contestant's alone."""
    transactions = await database.fetchval("SELECT pg_current_xact_id()::text::bigint")
    counted = await meter.messages(servers.management_url, contestant.vhost)
    return {"transactions": transactions, **counted}


async def _completions(database: asyncpg.Connection, contestant: Baseline, placed: Placed, name: str) -> Figures:
    """From the sending of an order to the commit that completed it, as PostgreSQL noted its time."""
    rows = await database.fetch(
        f"SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at FROM {contestant.orders} "
        "WHERE status = 'completed' AND id = ANY($1::uuid[])",
        list(placed.began),
    )
    return _percentiles(f"{name} completed", [row["at"] - placed.began[row["id"]] for row in rows])
