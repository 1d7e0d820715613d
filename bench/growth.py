"""The system under load until its tables are large: whether a late order costs what an early one did."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import contestants
from report import Row
from rounds import Figures, Options, Servers, opened

_FIRST = (1_000, 10_000)
STAGES = 20
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
    async with (
        contestants.system(logs, options.replicas, 1 - options.failures) as system,
        opened(system, options, servers) as shop,
    ):
        began, there, found = time.monotonic(), 0, []
        _print(column.label for column in COLUMNS)
        _print("---:" for _ in COLUMNS)
        for until in _stages(orders):
            _, figures = await shop.under_load(until - there)
            there = until
            figures |= dict(await shop.database.fetchrow(_TABLES))
            figures |= {"in the tables": there, "minutes": (time.monotonic() - began) / 60}
            found.append(figures)
            _print(f"{figures[column.figure] * column.factor:,.{column.digits}f}" for column in COLUMNS)
        return found, await shop.settled()


def _stages(orders: int) -> Iterator[int]:
    """How many orders there are after each stage."""
    yield from (first for first in _FIRST if first < orders // STAGES)
    yield from (orders * number // STAGES for number in range(1, STAGES + 1))


def _print(cells: Iterable[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)
