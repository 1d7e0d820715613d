"""Makes the database anew from a backup.

`make restore` stops the services first and starts them afterwards. The old database is kept under another name. What
waits in the queues is moved to FILE.undelivered.jsonl: it is of a time that the restored database knows nothing of.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]  # it ships none
from aio_pika.exceptions import AMQPError

from operations.addresses import SCHEMAS, Refused, database_url, rabbitmq_url
from operations.backup import check, name_of, postgres
from operations.undelivered import take_out

_ROLES = {*SCHEMAS, *(f"{schema}_owner" for schema in SCHEMAS), "auditor"}


async def load(url: str, file: Path) -> None:
    """Fills a database beside the one in use, which is left as it is until `swap`."""
    async with server(url) as connection:
        missing = _ROLES - {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        if missing:
            raise Refused(f"This server lacks the roles {', '.join(sorted(missing))}: `make up` makes them.")
        await connection.execute(f'DROP DATABASE IF EXISTS "{_draft(url)}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{_draft(url)}"')
    with file.open("rb") as content:
        whole = ("--exit-on-error", "--single-transaction")
        postgres("pg_restore", url, _draft(url), *whole, stdin=content)


async def swap(url: str) -> str | None:
    """Puts the database that `load` filled in the place of the one in use; returns the name under which that is kept,
    if there was one. Either both are renamed or none is."""
    name, kept = name_of(url), f"{name_of(url)}_until_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    async with server(url) as connection:
        there = await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name)
        for attempt in range(20):
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY($1::text[])",
                [name, _draft(url)],
            )
            try:
                async with connection.transaction():
                    if there:
                        await connection.execute(f'ALTER DATABASE "{name}" RENAME TO "{kept}"')
                    await connection.execute(f'ALTER DATABASE "{_draft(url)}" RENAME TO "{name}"')
                break
            except asyncpg.ObjectInUseError:
                if attempt == 19:
                    raise Refused(f"Somebody keeps connecting to {name}: stop them first.") from None
                await asyncio.sleep(0.2)
    return kept if there else None


def _draft(url: str) -> str:
    return f"{name_of(url)}_restoring"


@asynccontextmanager
async def server(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the database that every server has: ours may be gone."""
    parts = urlsplit(url.replace("+asyncpg", ""))
    connection = await asyncpg.connect(urlunsplit(parts._replace(path="/postgres")), timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


def _restore(file: Path) -> None:
    check(file)
    asyncio.run(load(database_url(), file))
    _move_messages(Path(f"{file}.undelivered.jsonl"))
    if kept := asyncio.run(swap(database_url())):
        print(f"What was there before is kept as the database {kept}: drop it once nobody misses it.")


def _move_messages(file: Path) -> None:
    taken = take_out(rabbitmq_url(), file)
    by_queue = ", ".join(f"{number} of {queue}" for queue, number in taken.items()) or "none"
    print(f"Messages taken out of the queues: {by_queue}. They are kept in {file}.", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--check", action="store_true", help="only say whether the file is a whole backup")
    only.add_argument(
        "--queues-only",
        action="store_true",
        help="only move what waits in the queues to FILE, after a restore by other means",
    )


def run(options: argparse.Namespace) -> int:
    work = check if options.check else _move_messages if options.queues_only else _restore
    try:
        work(options.file)
    except (OSError, AMQPError, asyncpg.PostgresError) as error:
        raise Refused(str(error)) from None
    return 0
