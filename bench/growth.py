"""The system under load until its tables are large: whether a late order costs what an early one did."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none

import contestants
import meter
from generator import Basket, Generator
from report import Row
from rounds import STOCK, Costs, Figures, Options, Servers, all_final, load_figures, memory, products, settled, stock

_FIRST = (1_000, 10_000)
_STAGES = 20
_TABLES = """
    SELECT pg_database_size(current_database())::float8 / 1e6 AS "database MB",
           sum(pg_indexes_size(relid))::float8 / 1e6 AS "indexes MB",
           sum(n_dead_tup)::float8 / 1e3 AS "dead rows", sum(autovacuum_count)::float8 AS "vacuums"
    FROM pg_stat_user_tables
"""
COLUMNS = (
    Row("orders", "in the tables", 0),
    Row("after, min", "minutes", 1),
    Row("completed/s", "completed/s", 0),
    Row("POST p50, ms", "post p50", 1),
    Row("POST p99, ms", "post p99", 1),
    Row("CPU, ms an order", "cpu", 2),
    Row("Python", "cpu Python", 2),
    Row("PostgreSQL", "cpu PostgreSQL", 2),
    Row("RabbitMQ", "cpu RabbitMQ", 2),
    Row("services, MB", "rss", 0),
    Row("database, MB", "database MB", 0),
    Row("of it indexes", "indexes MB", 0),
    Row("dead rows, thousands", "dead rows", 0),
    Row("vacuums so far", "vacuums", 0),
    Row("used by others, %", "others", 0, factor=100),
)


async def grow(options: Options, orders: int, servers: Servers, logs: Path) -> tuple[list[Figures], list[str]]:
    """The figures of each stage, printed as they come, and what of the books does not agree in the end."""
    async with contestants.system(logs, options.replicas, 1 - options.failures) as system:
        some, empty = products(options), uuid4()
        initial = dict.fromkeys(some, STOCK) | {empty: 0}
        await stock(system.inventory_url, initial)
        load = Generator(
            system.order_urls, options.clients, Basket(some, empty, *options.items, options.no_stock), options.cancels
        )
        services = [pid for pids in system.pids.values() for pid in pids]
        database = await asyncpg.connect(system.database_url.replace("+asyncpg", ""))
        began, there, found = time.monotonic(), 0, []
        _print(column.label for column in COLUMNS)
        _print("---:" for _ in COLUMNS)
        try:
            for until in _stages(orders):
                costs, number = Costs(system.pids | servers.pids), until - there
                placed = await (load.open(number, options.rate) if options.rate else load.closed(number))
                ended = await all_final(database, system)
                await meter.quiet(services)
                figures = load_figures(placed, costs.an_order(number), ended) | memory(system.pids)
                figures |= dict(await database.fetchrow(_TABLES))
                there = until
                figures |= {"in the tables": there, "minutes": (time.monotonic() - began) / 60}
                found.append(figures)
                _print(f"{figures[column.figure] * column.factor:,.{column.digits}f}" for column in COLUMNS)
            return found, await settled(system, initial)
        finally:
            load.close()
            await database.close()


def _stages(orders: int) -> Iterator[int]:
    """How many orders there are after each stage."""
    yield from (first for first in _FIRST if first < orders // _STAGES)
    yield from (orders * number // _STAGES for number in range(1, _STAGES + 1))


def _print(cells: Iterable[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)
