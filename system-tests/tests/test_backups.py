"""A backup holds all that the database held, whatever that is by then; and what is not whole bears no backup's name."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from chassis.testing import make_database, migrate

import backups
import books
import ledger
from system import ROLES, ROOT

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


def run(url: str, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DATABASE_URL": url} | variables
    return subprocess.run(
        [sys.executable, backups.__file__, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def url(servers: None) -> Iterator[str]:
    made, drop = make_database(*(ROOT / name for name in ROLES))
    yield made
    drop()


@pytest.fixture(scope="module")
async def shop(url: str) -> AsyncIterator[str]:
    """The database's URL, with rows in every table."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await ledger.write(connection, ledger.whole())
    await connection.close()
    yield url
    async with backups.server(url) as connection:
        name = urlsplit(url).path.removeprefix("/")
        for row in await connection.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", f"{name}_"):
            await connection.execute(f'DROP DATABASE "{row[0]}" WITH (FORCE)')


@pytest.fixture(scope="module")
def whole(shop: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backups") / "new folder" / "shop.dump"
    done = run(shop, "dump", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file}: {file.stat().st_size:,} bytes, checked.\n"
    return file


async def test_every_table_survives_with_every_row_and_what_was_there_is_kept_aside(shop: str, whole: Path) -> None:
    before = await described(shop)
    rows = {name: held for (kind, name), held in before.items() if kind == "rows"}
    empty = [name for name, held in rows.items() if held == (0, None)]
    assert empty == [], "ledger.py has no row for these, so that nothing is shown of them"
    assert {f"{schema}.alembic_version" for schema in backups.SCHEMAS} < rows.keys()
    connection = await asyncpg.connect(shop.replace("+asyncpg", ""))
    await connection.execute("DELETE FROM orders.orders")
    await connection.close()
    lost = await described(shop)

    assert run(shop, "load", whole).returncode == 0
    assert await described(shop) == lost, "until the two change places the one in use is left alone"
    done = run(shop, "swap")

    assert done.returncode == 0, done.stderr
    said, _, rest = done.stdout.partition(" is kept as the database ")
    kept = rest.partition(":")[0]
    assert said == "What was there before"
    assert await described(another(shop, kept)) == lost
    migrations = [migrate(ROOT / name, shop, "upgrade", "head") for name in ROLES]
    assert "up to" not in "".join(migrations), "the version that each schema is at was lost"
    assert await described(shop) == before


async def test_each_role_may_do_after_a_restore_what_it_might_before(shop: str, whole: Path) -> None:
    await backups.load(shop, whole)
    await backups.swap(shop)
    parts = urlsplit(shop.replace("+asyncpg", ""))
    for schema in backups.SCHEMAS:
        login = f"{schema}:{schema}@{parts.hostname}:{parts.port}"
        connection = await asyncpg.connect(urlunsplit(parts._replace(netloc=login)))
        try:
            assert await connection.fetchval(f"SELECT count(*) FROM {schema}.inbox") == 1
            await connection.execute(f"UPDATE {schema}.inbox SET processed_at = processed_at")
            for other in set(backups.SCHEMAS) - {schema}:
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
        with pytest.raises(backups.Refused):
            backups.dump(shop, file)

    assert earlier.read_bytes() == whole.read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"bin", "earlier.dump"}


def test_a_backup_that_is_killed_leaves_nothing_by_its_name_and_can_be_made_again(
    shop: str, whole: Path, tmp_path: Path
) -> None:
    file = tmp_path / "shop.dump"
    path = instead_of_pg_dump(tmp_path, "head -c {half} {whole}; kill -9 $PPID", whole)
    assert run(shop, "dump", file, PATH=path).returncode != 0
    assert not file.exists()
    backups.dump(shop, file)
    backups.check(file)


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

    with pytest.raises(backups.Refused):
        backups.check(file)
    if kind != "of another database":  # which is whole, so that only `check` can see it
        with pytest.raises((backups.Refused, FileNotFoundError)):
            await backups.load(shop, file)

    assert await described(shop) == before


def test_the_command_says_in_a_line_why_it_refuses(shop: str, tmp_path: Path) -> None:
    done = run(shop, "check", tmp_path / "nowhere.dump")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path / 'nowhere.dump'} can't be read: No such file or directory.\n"
