"""A backup holds all that the database held, whatever that is by then; and what is not whole bears no backup's name."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from chassis.testing import make_database, migrate

from operations import backup, books, restore
from operations.addresses import SCHEMAS, Refused
from tests import ledger
from tests.commands import run
from tests.ledger import MIGRATED

pytestmark = pytest.mark.skipif(
    shutil.which("pg_dump") is None, reason="PostgreSQL's own programs are needed: install `postgresql-client`"
)

# All that a database is made of, by the catalogue, so that what is added tomorrow is compared too.
_ROOMS = "('orders', 'inventory', 'payments')"
_DESCRIPTION = f"""
    WITH things AS (
        SELECT c.* FROM pg_class c WHERE relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
        AND relnamespace::regnamespace::text NOT LIKE 'pg_toast%'
    )
    SELECT 'thing', oid::regclass::text, concat_ws(' ', relkind, relowner::regrole, reloptions, (
        SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(relacl) a)) FROM things
    UNION ALL
    SELECT 'column', attrelid::regclass || '.' || attname, concat_ws(' ',
        rank() OVER (PARTITION BY attrelid ORDER BY attnum), format_type(atttypid, atttypmod), attnotnull,
        attstattarget, pg_get_expr(adbin, adrelid))
    FROM pg_attribute JOIN things ON attrelid = things.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(pg_constraint.oid)
    FROM pg_constraint JOIN things ON conrelid = things.oid
    UNION ALL
    SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
    FROM pg_index JOIN things ON indexrelid = things.oid
    UNION ALL
    SELECT 'schema', nspname, concat_ws(' ', nspowner::regrole, (
        SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(nspacl) a))
    FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
    UNION ALL
    SELECT 'default privileges', concat_ws(' ', defaclnamespace::regnamespace, defaclrole::regrole, defaclobjtype),
        defaclacl::text FROM pg_default_acl
    UNION ALL
    SELECT 'function', oid::regprocedure::text, pg_get_functiondef(oid)
    FROM pg_proc WHERE pronamespace::regnamespace::text IN {_ROOMS}
    UNION ALL
    SELECT 'settings', '', setconfig::text FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
    WHERE datname = current_database()
"""
_TABLES = f"""
    SELECT oid::regclass::text FROM pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text IN {_ROOMS}
"""
_ROWS = """SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C")) FROM {} t"""


async def described(url: str) -> dict[tuple[str, str], object]:
    """What a database is made of, and what each of its tables holds."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute("SET search_path = pg_catalog")
        found: dict[tuple[str, str], object] = {
            (kind, name): definition for kind, name, definition in await connection.fetch(_DESCRIPTION)
        }
        for (table,) in await connection.fetch(_TABLES):
            found["rows", table] = tuple(await connection.fetchrow(_ROWS.format(table)))
        return found
    finally:
        await connection.close()


def another(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@pytest.fixture(scope="module")
def url(database_url: str) -> Iterator[str]:
    made, drop = make_database(*MIGRATED)
    yield made
    drop()


@pytest.fixture(scope="module")
async def shop(url: str) -> AsyncIterator[str]:
    """The database's URL, with rows in every table."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await ledger.write(connection, ledger.whole())
    await connection.close()
    yield url
    async with restore.server(url) as connection:
        name = urlsplit(url).path.removeprefix("/")
        for row in await connection.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", f"{name}_"):
            await connection.execute(f'DROP DATABASE "{row[0]}" WITH (FORCE)')


@pytest.fixture(scope="module")
def whole(shop: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backups") / "new folder" / "shop.dump"
    done = run("backup", file, DATABASE_URL=shop)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file}: {file.stat().st_size:,} bytes, checked.\n"
    return file


async def test_every_table_survives_with_every_row_and_what_was_there_is_kept_aside(shop: str, whole: Path) -> None:
    before = await described(shop)
    rows = {name: held for (kind, name), held in before.items() if kind == "rows"}
    empty = [name for name, held in rows.items() if held == (0, None)]
    assert empty == [], "ledger.py has no row for these, so that nothing is shown of them"
    assert {f"{schema}.alembic_version" for schema in SCHEMAS} < rows.keys()
    connection = await asyncpg.connect(shop.replace("+asyncpg", ""))
    await connection.execute("DELETE FROM orders.orders")
    await connection.close()
    lost = await described(shop)

    await restore.load(shop, whole)
    assert await described(shop) == lost, "until the two change places the one in use is left alone"
    kept = await restore.swap(shop)

    assert kept is not None
    assert await described(another(shop, kept)) == lost
    migrations = [migrate(folder, shop, "upgrade", "head") for folder in MIGRATED]
    assert "up to" not in "".join(migrations), "the version that each schema is at was lost"
    assert await described(shop) == before


async def test_each_role_may_do_after_a_restore_what_it_might_before(shop: str, whole: Path) -> None:
    await restore.load(shop, whole)
    await restore.swap(shop)
    parts = urlsplit(shop.replace("+asyncpg", ""))
    for schema in SCHEMAS:
        login = f"{schema}:{schema}@{parts.hostname}:{parts.port}"
        connection = await asyncpg.connect(urlunsplit(parts._replace(netloc=login)))
        try:
            assert await connection.fetchval(f"SELECT count(*) FROM {schema}.inbox") == 1
            await connection.execute(f"UPDATE {schema}.inbox SET processed_at = processed_at")
            for other in set(SCHEMAS) - {schema}:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetchval(f"SELECT count(*) FROM {other}.inbox")
        finally:
            await connection.close()
    assert (await books.examine(shop, ledger.INITIAL, settled=False)).findings == []  # as the role `auditor`


def test_only_its_owner_can_read_a_backup(whole: Path) -> None:
    assert whole.stat().st_mode & 0o777 == 0o600


def instead_of_pg_dump(folder: Path, script: str, whole: Path) -> str:
    """A PATH on which this is pg_dump."""
    size = whole.stat().st_size
    program = folder / "bin" / "pg_dump"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n" + script.format(half=size // 2, almost=size - 1, whole=f"'{whole}'"))
    program.chmod(0o755)
    return os.pathsep.join([str(program.parent), os.environ["PATH"]])


@pytest.mark.parametrize(
    "script",
    [
        "head -c {half} {whole}; echo no space left >&2; exit 1",
        "head -c {half} {whole}",
        "head -c {almost} {whole}",
        "echo 'SELECT 1;'",
        "",
    ],
    ids=["fails half-way", "ends half-way", "ends before its end", "writes another format", "writes nothing"],
)
def test_a_backup_that_is_not_whole_gets_no_name_and_takes_none_away(
    script: str, shop: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = tmp_path / "earlier.dump"
    shutil.copy(whole, earlier)
    monkeypatch.setenv("PATH", instead_of_pg_dump(tmp_path, script, whole))

    for file in (earlier, tmp_path / "first.dump"):
        with pytest.raises(Refused):
            backup.dump(shop, file)

    assert earlier.read_bytes() == whole.read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"bin", "earlier.dump"}


def test_a_backup_that_is_killed_leaves_nothing_by_its_name_and_can_be_made_again(
    shop: str, whole: Path, tmp_path: Path
) -> None:
    file = tmp_path / "shop.dump"
    path = instead_of_pg_dump(tmp_path, "head -c {half} {whole}; kill -9 $PPID", whole)
    assert run("backup", file, DATABASE_URL=shop, PATH=path).returncode != 0
    assert not file.exists()
    backup.dump(shop, file)
    backup.check(file)


def make(kind: str, file: Path, url: str, whole: Path) -> None:
    match kind:
        case "text":
            file.write_text("CREATE TABLE orders ();\n")
        case "empty":
            file.touch()
        case "cut":
            file.write_bytes(whole.read_bytes()[:-1000])
        case "of another database":
            address = another(url.replace("+asyncpg", ""), "postgres")
            subprocess.run(["pg_dump", "--format=custom", f"--file={file}", address], check=True)


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "of another database", "absent"])
async def test_what_is_no_backup_is_refused_and_the_database_is_left_alone(
    kind: str, shop: str, whole: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    await asyncio.to_thread(make, kind, file, shop, whole)
    before = await described(shop)

    with pytest.raises(Refused):
        backup.check(file)
    if kind != "of another database":  # which is whole, so that only `check` can see it
        with pytest.raises((Refused, FileNotFoundError)):
            await restore.load(shop, file)

    assert await described(shop) == before


def test_the_command_says_in_a_line_why_it_refuses(tmp_path: Path) -> None:
    done = run("restore", "--check", tmp_path / "nowhere.dump")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path / 'nowhere.dump'} can't be read: No such file or directory.\n"


@pytest.fixture
async def channel(rabbitmq_url: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        yield channel
        await channel.queue_delete("order-service")


async def restored(shop: str, rabbitmq_url: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run, "restore", *arguments, DATABASE_URL=shop, RABBITMQ_URL=rabbitmq_url)


async def test_a_restore_moves_what_waits_in_the_queues_into_a_file_and_says_what_is_kept(
    shop: str, whole: Path, rabbitmq_url: str, channel: AbstractChannel
) -> None:
    await channel.declare_queue("order-service")
    await channel.default_exchange.publish(aio_pika.Message(b"\xff of a lost time", message_id="4711"), "order-service")

    done = await restored(shop, rabbitmq_url, whole)

    assert (done.returncode, done.stderr) == (0, "")
    undelivered = Path(f"{whole}.undelivered.jsonl")
    first, second = done.stdout.splitlines()
    assert first == f"Messages taken out of the queues: 1 of order-service. They are kept in {undelivered}."
    assert second.startswith("What was there before is kept as the database ")
    line = json.loads(await asyncio.to_thread(undelivered.read_text))
    assert (line["queue"], line["message_id"]) == ("order-service", "4711")
    assert line["body"].encode("utf-8", "surrogateescape") == b"\xff of a lost time"


async def test_a_restore_is_refused_while_a_service_is_at_its_queue(
    shop: str, whole: Path, rabbitmq_url: str, channel: AbstractChannel
) -> None:
    queue = await channel.declare_queue("order-service")
    await queue.consume(asyncio.Queue[AbstractIncomingMessage]().put)
    before = await described(shop)

    for arguments in ((whole,), ("--queues-only", f"{whole}.jsonl")):
        done = await restored(shop, rabbitmq_url, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "order-service is still consumed: stop the services first.\n"
    assert await described(shop) == before


@pytest.mark.parametrize("compose", ["compose", ""], ids=["in Docker", "natively"])
def test_no_password_is_seen_in_the_list_of_processes(
    compose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("compose", "pg_dump"):
        (tmp_path / program).write_text(f'#!/bin/sh\necho "$0" "$@" "with $PGPASSWORD" >{tmp_path}/called\nexit 1\n')
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("COMPOSE", compose)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    with pytest.raises(Refused):
        backup.dump("postgresql://me:a%20secret@somewhere/mine", tmp_path / "a.dump")

    command, _, passed = (tmp_path / "called").read_text().strip().partition(" with ")
    assert passed == "a secret"
    assert "secret" not in command
    assert "--username=me" in command
    if compose:
        assert " -e PGPASSWORD postgres pg_dump " in command
