"""A backup of all three schemas in one file, and the database made anew from it: what `make backup` and `make restore`
are made of.

    DATABASE_URL=postgresql://postgres:postgres@localhost:5432/order_processing python backups.py dump FILE

A backup is one snapshot of PostgreSQL: whoever had followed an event is never in it without what the event tells of.
COMPOSE says how compose is called where PostgreSQL's own programs are to be run in its container.
"""

import argparse
import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]  # it ships none

from system import ROOT

SCHEMAS = ("orders", "inventory", "payments")
ROLES = (*SCHEMAS, "auditor")
_TABLES = ("orders orders", "inventory holds", "payments payments")


class Refused(Exception):
    """Why it can't be done, and what to do, in a sentence."""


def dump(database_url: str, file: Path) -> None:
    """Writes the backup and looks at it before it gets its name: what bears it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.part")
    try:
        with open(draft, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:  # it names customers
            _postgres("pg_dump", database_url, _name(database_url), "--format=custom", stdout=output)
            os.fsync(output.fileno())
        check(draft)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def check(file: Path) -> None:
    """Raises Refused for what is no backup of ours, or not all of one: its list of contents comes first, so the rows
    behind it are read too."""
    try:
        with file.open("rb") as content:
            contents = _run("pg_restore", ["--list"], stdin=content)
        missing = [table for table in _TABLES if f" TABLE DATA {table} " not in contents]
        if missing:
            raise Refused(f"{file} is no backup of this system: it lacks {', '.join(missing)}.")
        with file.open("rb") as content:
            _run("pg_restore", ["--file=/dev/null"], stdin=content)
    except OSError as error:
        raise Refused(f"{file} can't be read: {error.strerror}.") from None


async def load(database_url: str, file: Path) -> None:
    """Fills a database beside the one in use, which is left as it is until `swap`."""
    async with server(database_url) as connection:
        missing = set(ROLES) - {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        if missing:
            raise Refused(f"This server lacks the roles {', '.join(sorted(missing))}: `make up` makes them.")
        await connection.execute(f'DROP DATABASE IF EXISTS "{_draft(database_url)}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{_draft(database_url)}"')
    with file.open("rb") as content:
        whole = ("--exit-on-error", "--single-transaction")
        _postgres("pg_restore", database_url, _draft(database_url), *whole, stdin=content)


async def swap(database_url: str) -> str | None:
    """Puts the database that `load` filled in the place of the one in use; returns the name under which that is kept,
    if there was one. Either both are renamed or none is."""
    name, kept = _name(database_url), f"{_name(database_url)}_until_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    async with server(database_url) as connection:
        there = await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name)
        for attempt in range(20):
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY($1::text[])",
                [name, _draft(database_url)],
            )
            try:
                async with connection.transaction():
                    if there:
                        await connection.execute(f'ALTER DATABASE "{name}" RENAME TO "{kept}"')
                    await connection.execute(f'ALTER DATABASE "{_draft(database_url)}" RENAME TO "{name}"')
                break
            except asyncpg.ObjectInUseError:
                if attempt == 19:
                    raise Refused(f"Somebody keeps connecting to {name}: stop them first.") from None
                await asyncio.sleep(0.2)
    return kept if there else None


def _name(database_url: str) -> str:
    return urlsplit(database_url).path.removeprefix("/")


def _draft(database_url: str) -> str:
    return f"{_name(database_url)}_restoring"


@asynccontextmanager
async def server(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the database that every server has: ours may be gone."""
    parts = urlsplit(database_url.replace("+asyncpg", ""))
    connection = await asyncpg.connect(urlunsplit(parts._replace(path="/postgres")), timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


def _postgres(
    program: str,
    database_url: str,
    database: str,
    *options: str,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int = subprocess.PIPE,
) -> None:
    """One of PostgreSQL's programs, told where the database is; in the server's container it is next door."""
    parts = urlsplit(database_url)
    port = 5432 if os.environ.get("COMPOSE") else parts.port or 5432
    host = "127.0.0.1" if os.environ.get("COMPOSE") else parts.hostname or "localhost"
    address = [f"--host={host}", f"--port={port}", f"--username={parts.username}", f"--dbname={database}"]
    _run(program, [*address, *options], password=parts.password or "", stdin=stdin, stdout=stdout)


def _run(
    program: str,
    arguments: list[str],
    *,
    password: str = "",
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int = subprocess.PIPE,
) -> str:
    compose = shlex.split(os.environ.get("COMPOSE", ""))
    container = [*compose, "exec", "-T", "-e", f"PGPASSWORD={password}", "postgres"] if compose else []
    environment = os.environ | {"PGPASSWORD": password}
    try:
        done = subprocess.run(
            [*container, program, *arguments],
            cwd=ROOT,  # where compose finds its file
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise Refused(f"{error.filename} is missing: install PostgreSQL's programs.") from None
    if done.returncode != 0:
        raise Refused(f"{program} failed: {done.stderr.decode(errors='replace').strip()[-1000:]}")
    return (done.stdout or b"").decode(errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(description="A backup of the database, and the database made anew from it.")
    parser.add_argument("command", choices=("dump", "check", "load", "swap"))
    parser.add_argument("file", type=Path, nargs="?", default=Path())
    options = parser.parse_args()
    url, file = os.environ["DATABASE_URL"], options.file
    try:
        match options.command:
            case "dump":
                dump(url, file)
                print(f"{file}: {file.stat().st_size:,} bytes, checked.")
            case "check":
                check(file)
            case "load":
                asyncio.run(load(url, file))
            case "swap":
                if kept := asyncio.run(swap(url)):
                    print(f"What was there before is kept as the database {kept}: drop it once nobody misses it.")
    except (Refused, OSError, asyncpg.PostgresError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
