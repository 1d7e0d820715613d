"""Serves the books, and PostgreSQL's own figures, to Prometheus.

PostgreSQL's figures are read for each scrape, the books in the background: once a minute, at most a tenth of the time.
Without an answer of the database a scrape gets 503. The names are those of postgres_exporter where it has the same
figure, so that it may take this program's place.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg  # type: ignore[import-untyped]  # it ships none
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from operations import books
from operations.addresses import Refused, database_url

PORT = 9187
BOOKS_EVERY_SECONDS = 60.0
IDLE_PART = 9
"""So many times as long as it took, reading the books rests: with many orders it takes a while."""
_ANSWERS_WITHIN_SECONDS = 5
_UNANSWERED = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, Refused)

_DATABASE = """
    SELECT pg_database_size(datid) AS pg_database_size_bytes, xact_commit AS pg_stat_database_xact_commit,
        xact_rollback AS pg_stat_database_xact_rollback, deadlocks AS pg_stat_database_deadlocks,
        blks_hit AS pg_stat_database_blks_hit, blks_read AS pg_stat_database_blks_read,
        CAST(current_setting('max_connections') AS int) AS pg_settings_max_connections,
        (SELECT count(*) FROM pg_locks WHERE NOT granted) AS pg_locks_waiting
    FROM pg_stat_database WHERE datname = current_database()
"""
_CONNECTIONS = """
    SELECT usename, count(*) AS value FROM pg_stat_activity WHERE usename IS NOT NULL GROUP BY 1
"""
_TABLES = """
    SELECT schemaname, relname, n_live_tup AS pg_stat_user_tables_n_live_tup,
        n_dead_tup AS pg_stat_user_tables_n_dead_tup, pg_total_relation_size(relid) AS pg_table_total_size_bytes
    FROM pg_stat_user_tables
"""


async def database_figures(url: str) -> str:
    """In Prometheus' text format. Raises one of _UNANSWERED."""
    async with asyncio.timeout(_ANSWERS_WITHIN_SECONDS):
        connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=_ANSWERS_WITHIN_SECONDS)
        try:
            database = await connection.fetchrow(_DATABASE)
            connections, tables = await connection.fetch(_CONNECTIONS), await connection.fetch(_TABLES)
        finally:
            await connection.close()
    registry = CollectorRegistry()
    for name, value in database.items():
        Gauge(name, "Of the database", registry=registry).set(value)
    by_user = Gauge("pg_stat_activity_count", "Connections by user", ("usename",), registry=registry)
    for row in connections:
        by_user.labels(row["usename"]).set(row["value"])
    for name in list(tables[0].keys())[2:] if tables else ():
        gauge = Gauge(name, "Of each table", ("schemaname", "relname"), registry=registry)
        for row in tables:
            gauge.labels(row["schemaname"], row["relname"]).set(row[name])
    return generate_latest(registry).decode()


class Exporter:
    def __init__(self, books_every_seconds: float = BOOKS_EVERY_SECONDS) -> None:
        self._books_every_seconds = books_every_seconds
        self._books = ""
        self._reading: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._reading = asyncio.create_task(self._read_books())
        yield
        self._reading.cancel()

    async def _read_books(self) -> None:
        while True:
            began = time.monotonic()
            with suppress(*_UNANSWERED):  # the age of the last figures tells
                self._books = books.metrics(await books.examine(database_url(), settled=False))
            await asyncio.sleep(self.rest_seconds(time.monotonic() - began))

    def rest_seconds(self, reading_took: float) -> float:
        return max(self._books_every_seconds, IDLE_PART * reading_took)

    async def answer(self, _: Request) -> Response:
        if self._reading and self._reading.done():
            self._reading.result()  # a defect: 500, and its traceback in the log
        try:
            figures = await database_figures(database_url())
        except _UNANSWERED as error:
            return PlainTextResponse(f"The database does not answer: {error or type(error).__name__}\n", 503)
        return PlainTextResponse(figures + self._books, media_type=CONTENT_TYPE_LATEST)


def app(exporter: Exporter) -> Starlette:
    return Starlette(routes=[Route("/metrics", exporter.answer)], lifespan=exporter.lifespan)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="where it listens (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--books-every", type=float, default=BOOKS_EVERY_SECONDS, metavar="SECONDS")


def run(options: argparse.Namespace) -> int:
    uvicorn.run(
        app(Exporter(options.books_every)), host=options.host, port=options.port, access_log=False, server_header=False
    )
    return 0
