"""What a thief can do with a service's own login to PostgreSQL: nothing beyond the rows of that service."""

import asyncio
from collections.abc import Iterator

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from chassis.testing import make_database
from sqlalchemy import make_url

from operations.addresses import ROLES, SCHEMAS
from system import ROOT

OTHERS = """
    SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
    WHERE schemaname = ANY ($1) AND schemaname <> current_user
"""


@pytest.fixture(scope="module")
def shop(database_url: str) -> Iterator[str]:
    """A database with every schema; `database_url` skips the test where no server is."""
    url, drop = make_database(*(ROOT / name for name in ROLES))
    yield url
    drop()


async def session(url: str, user: str) -> asyncpg.Connection:
    login = make_url(url).set(drivername="postgresql", username=user, password=user)
    return await asyncpg.connect(login.render_as_string(hide_password=False), timeout=5)


async def is_denied(thief: asyncpg.Connection, statement: str) -> bool:
    try:
        await thief.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


@pytest.mark.parametrize("user", SCHEMAS)
async def test_a_service_s_login_reaches_no_table_of_another_service(shop: str, user: str) -> None:
    thief = await session(shop, user)
    tables = [row["name"] for row in await thief.fetch(OTHERS, SCHEMAS)]
    assert len(tables) >= 2 * len(SCHEMAS)
    for table in tables:
        for act in ("SELECT FROM", "DELETE FROM", "TRUNCATE", "DROP TABLE", "COPY", "INSERT INTO"):
            options = {"COPY": "TO STDOUT", "INSERT INTO": "DEFAULT VALUES"}.get(act, "")
            assert await is_denied(thief, f"{act} {table} {options}"), (act, table)
    await thief.close()


# {own} is the service's schema, {other} another's.
ATTACKS = {
    "creates a table": "CREATE TABLE {own}.loot (id int)",
    "creates a table in another schema": "CREATE TABLE {other}.loot (id int)",
    "creates a table in public": "CREATE TABLE public.loot (id int)",
    "creates a temporary table": "CREATE TEMP TABLE loot (id int)",
    "creates a function": "CREATE FUNCTION {own}.loot() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "creates a schema": "CREATE SCHEMA loot",
    "creates a database": "CREATE DATABASE loot",
    "creates a role": "CREATE ROLE loot",
    "creates an extension": "CREATE EXTENSION dblink",
    "alters its own table": "ALTER TABLE {own}.outbox ADD COLUMN loot int",
    "drops its own table": "DROP TABLE {own}.outbox",
    "empties its own table at once": "TRUNCATE {own}.outbox",
    "puts a trigger on its own table": (
        "CREATE TRIGGER loot BEFORE INSERT ON {own}.outbox EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
    "drops its own schema": "DROP SCHEMA {own} CASCADE",
    "becomes the owner": "SET ROLE {own}_owner",
    "becomes another service": "SET ROLE {other}",
    "becomes the migrator": "SET ROLE migrator",
    "becomes the auditor": "SET ROLE auditor",
    "becomes the administrator": "SET SESSION AUTHORIZATION postgres",
    "makes itself a superuser": "ALTER ROLE {own} SUPERUSER",
    "makes itself a member of another service": "GRANT {other} TO {own}",
    "gives another service another password": "ALTER ROLE {other} PASSWORD 'loot'",
    "reads passwords": "SELECT rolpassword FROM pg_authid",
    "reads passwords as they were shown once": "SELECT * FROM pg_shadow",
    "runs a program": "COPY {own}.outbox FROM PROGRAM 'id'",
    "runs a program with rows": "COPY {own}.outbox TO PROGRAM 'cat'",
    "reads a file": "COPY {own}.outbox FROM '/etc/passwd'",
    "reads a file by a function": "SELECT pg_read_file('/etc/passwd')",
    "reads a file as a large object": "SELECT lo_import('/etc/passwd')",
    "lists a folder": "SELECT pg_ls_dir('/')",
    "writes a file": "COPY {own}.outbox TO '/tmp/loot'",
    "loads a library": "LOAD '/tmp/loot.so'",
    "changes the server's settings": "ALTER SYSTEM SET log_statement = 'all'",
    "has the server read its settings": "SELECT pg_reload_conf()",
    "changes the database's settings": "ALTER DATABASE {database} SET search_path = loot",
    "gives its rows away": "ALTER DEFAULT PRIVILEGES FOR ROLE {own}_owner GRANT ALL ON TABLES TO PUBLIC",
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_service_s_login_is_denied_whatever_else_a_thief_tries(shop: str, attack: str) -> None:
    for own, other in zip(SCHEMAS, SCHEMAS[1:] + SCHEMAS[:1], strict=True):
        thief = await session(shop, own)
        statement = ATTACKS[attack].format(own=own, other=other, database=make_url(shop).database)
        assert await is_denied(thief, statement), statement
        await thief.close()


@pytest.mark.parametrize("user", SCHEMAS)
async def test_a_service_s_login_ends_no_session_but_its_own(shop: str, user: str) -> None:
    thief, administrator = await session(shop, user), await asyncpg.connect(shop.replace("+asyncpg", ""))
    assert await is_denied(thief, f"SELECT pg_terminate_backend({administrator.get_server_pid()})")
    seen = await thief.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", administrator.get_server_pid())
    assert seen == "<insufficient privilege>"
    await asyncio.gather(thief.close(), administrator.close())
