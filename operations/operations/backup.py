"""Writes a backup of all three schemas to a file, and checks it.

A backup is one snapshot of PostgreSQL: whoever had followed an event is never in it without what the event tells of.
PostgreSQL's own programs do the work, in its container where COMPOSE says how compose is called.
"""

import argparse
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from operations.addresses import ROOT, Refused, database_url, inside

_TABLES = ("orders orders", "inventory inventory_items", "payments payments")


def dump(url: str, file: Path) -> None:
    """Writes the backup and looks at it before it gets its name: what bears it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.part")
    try:
        with open(draft, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:  # it names customers
            postgres("pg_dump", url, name_of(url), "--format=custom", stdout=output)
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


def name_of(url: str) -> str:
    """The database's name."""
    return urlsplit(url).path.removeprefix("/")


def postgres(
    program: str,
    url: str,
    database: str,
    *options: str,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int = subprocess.PIPE,
) -> None:
    """One of PostgreSQL's programs, told where the database is; in the server's container it is next door."""
    parts = urlsplit(url)
    port = 5432 if os.environ.get("COMPOSE") else parts.port or 5432
    host = "127.0.0.1" if os.environ.get("COMPOSE") else parts.hostname or "localhost"
    address = [
        f"--host={host}",
        f"--port={port}",
        f"--username={unquote(parts.username or '')}",
        f"--dbname={database}",
    ]
    _run(program, [*address, *options], password=unquote(parts.password or ""), stdin=stdin, stdout=stdout)


def _run(
    program: str,
    arguments: list[str],
    *,
    password: str = "",
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int = subprocess.PIPE,
) -> str:
    try:
        done = subprocess.run(  # noqa: S603 (a list of words, no shell)
            [*inside("postgres", "PGPASSWORD"), program, *arguments],
            cwd=ROOT,  # where compose finds its file
            env=os.environ | {"PGPASSWORD": password},
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise Refused(f"{error.filename} is missing: install PostgreSQL's programs.") from None
    if done.returncode != 0:
        raise Refused(f"{program} failed: {done.stderr.decode(errors='replace').strip()[-1000:]}")
    return (done.stdout or b"").decode(errors="replace")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    usual = Path("backups", f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump")
    parser.add_argument("file", type=Path, nargs="?", default=usual, help="default: %(default)s")


def run(options: argparse.Namespace) -> int:
    file = options.file
    try:
        dump(database_url(), file)
    except OSError as error:
        raise Refused(str(error)) from None
    print(f"{file}: {file.stat().st_size:,} bytes, checked.")
    return 0
