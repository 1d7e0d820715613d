"""The roles of a schema on a real server, each test with a database, a schema and roles of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from alembic.util import CommandError
from chassis.postgres import migrations, roles
from chassis.postgres.database import make_engine
from chassis.postgres.roles import prepare, scram_verifier
from chassis.testing import make_database
from sqlalchemy import MetaData, event, make_url
from sqlalchemy.pool import NullPool

PASSWORD = "any:ASCII/will?do#@%$1"  # noqa: S105 (of the test's own roles)
DENIED = asyncpg.InsufficientPrivilegeError


class Shop:
    """A database with the schema of one service."""

    def __init__(self, url: str, schema: str) -> None:
        self.url = url
        self.schema = schema
        self.statements: list[str] = []

    def login(self, user: str, password: str = PASSWORD) -> str:
        return make_url(self.url).set(username=user, password=password).render_as_string(hide_password=False)

    async def prepare(self, *logins: str, production: bool = True, user: str = "") -> None:
        """As an administrator, or as the user."""
        url = self.login(user) if user else self.url
        engine = make_engine(lambda: url, poolclass=NullPool)
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *args: self.statements.append(args[2]))
        try:
            async with engine.connect() as connection:
                await connection.run_sync(prepare, self.schema, logins=" \n".join(logins), production=production)
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def session(self, user: str = "", password: str = PASSWORD) -> AsyncIterator[asyncpg.Connection]:
        url = self.login(user, password) if user else self.url
        connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=5)
        try:
            yield connection
        finally:
            await connection.close()

    async def do(self, *statements: str, user: str = "", password: str = PASSWORD) -> list[Any]:
        """The first column of the last answer."""
        async with self.session(user, password) as connection:
            for statement in statements:
                rows = await connection.fetch(statement.format(self.schema))
        return [row[0] for row in rows]


@pytest.fixture
def shop(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """`database_url` skips the test where no server is, on which a system may run whose roles stay as they are."""
    url, remove = make_database()
    shop = Shop(url, f"shop_{uuid4().hex[:8]}")
    monkeypatch.setattr(roles, "AUDITOR", f"{shop.schema}_auditor")
    monkeypatch.setattr(roles, "MIGRATOR", f"{shop.schema}_migrator")
    yield shop
    made = asyncio.run(shop.do("SELECT rolname FROM pg_roles WHERE rolname LIKE '{}%' ORDER BY length(rolname)"))
    remove()
    shop.url = database_url
    asyncio.run(shop.do("SELECT 1", *(f"DROP ROLE {role}" for role in made)))


def dies(_: object) -> None:
    raise SystemExit


TABLE = ("SET ROLE {}_owner", "CREATE TABLE {}.things (id int GENERATED ALWAYS AS IDENTITY, name text)")


async def test_a_verifier_lets_its_password_in_and_no_other(shop: Shop) -> None:
    role = f"{shop.schema}_a"
    await shop.do(f"CREATE ROLE {role} LOGIN PASSWORD '{scram_verifier(PASSWORD)}'")
    assert await shop.do("SELECT current_user::text", user=role) == [role]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await shop.do("SELECT 1", user=role, password=PASSWORD[:-1])
    assert scram_verifier(PASSWORD) != scram_verifier(PASSWORD), "a salt of its own each time"


async def test_nobody_logs_in_as_the_owner_and_in_production_not_as_the_service_either(shop: Shop) -> None:
    await shop.prepare()
    login = "SELECT rolcanlogin FROM pg_roles WHERE rolname IN ('{0}', '{0}_owner')"
    assert await shop.do(login) == [False, False]
    assert not await migrations._default_password_works(shop.url, shop.schema)


async def test_in_development_the_password_is_the_name_which_production_does_not_take(shop: Shop) -> None:
    await shop.prepare(production=False)
    assert await shop.do("SELECT current_user::text", user=shop.schema, password=shop.schema) == [shop.schema]
    assert await migrations._default_password_works(shop.url, shop.schema)
    with pytest.raises(CommandError, match=f"{shop.schema} has its default password"):
        await migrations._run(MetaData(), shop.schema, shop.url, "", production=True)


async def test_no_statement_contains_a_password(shop: Shop) -> None:
    await shop.prepare(shop.login(f"{shop.schema}_a"), production=False)
    assert not [line for line in shop.statements if PASSWORD in line or f"PASSWORD '{shop.schema}'" in line]
    assert sum("PASSWORD 'SCRAM-SHA-256$4096:" in line for line in shop.statements) == 2


async def test_both_logins_have_the_service_s_rights_and_the_newest_password(shop: Shop) -> None:
    first, second = f"{shop.schema}_a", f"{shop.schema}_b"
    await shop.prepare(shop.login(first, "an-earlier-one"), shop.login(second))
    await shop.prepare(shop.login(first))
    await shop.do(*TABLE)
    for user in (first, second):
        await shop.do("INSERT INTO {}.things (name) VALUES ('x')", user=user)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await shop.do("SELECT 1", user=first, password="an-earlier-one")  # noqa: S106

    await shop.do(f"ALTER ROLE {first} NOLOGIN")
    await shop.prepare(shop.login(first))
    assert await shop.do("SELECT count(*) FROM {}.things", user=first) == [2]


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("postgres", PASSWORD),
        ("{}", PASSWORD),
        ("{}_owner", PASSWORD),
        ("{}_c", PASSWORD),
        ("a", PASSWORD),
        ("{}_a", ""),
        ("{}_a", "{}"),
        ("{}_a", "{}_a"),
        ("{}_a", "contraseña"),
    ],
)
async def test_a_login_of_another_name_or_with_a_password_that_anybody_guesses_is_refused(
    shop: Shop, user: str, password: str
) -> None:
    with pytest.raises(CommandError, match="DATABASE_LOGINS") as refused:
        await shop.prepare(shop.login(user.format(shop.schema), password.format(shop.schema)))
    assert PASSWORD not in str(refused.value)


async def test_the_service_reads_and_writes_the_rows_of_every_table_and_does_nothing_else(shop: Shop) -> None:
    user = f"{shop.schema}_a"
    await shop.prepare(shop.login(user))
    await shop.do(*TABLE, "CREATE SEQUENCE {}.numbers")
    await shop.do(
        "INSERT INTO {}.things (name) VALUES ('x')",
        "SELECT nextval('{}.numbers')",
        "SELECT * FROM {}.things FOR UPDATE",
        "UPDATE {}.things SET name = 'y'",
        "DELETE FROM {}.things",
        user=user,
    )
    for statement in (
        "CREATE TABLE {}.more (id int)",
        "CREATE TEMP TABLE more (id int)",
        "CREATE SCHEMA more",
        "CREATE FUNCTION {}.more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE {}.things ADD COLUMN more int",
        "CREATE INDEX ON {}.things (name)",
        "TRUNCATE {}.things",
        "DROP TABLE {}.things",
        "DROP SCHEMA {} CASCADE",
        "SET ROLE {}_owner",
        "SET ROLE {}_auditor",
    ):
        with pytest.raises(DENIED):
            await shop.do("SET client_min_messages = error", statement, user=user)


async def test_who_may_migrate_switches_to_the_owner_and_sees_nothing_otherwise(shop: Shop) -> None:
    migrator, auditor = f"{shop.schema}_migrator_a", f"{shop.schema}_auditor_b"
    await shop.prepare(shop.login(migrator), shop.login(auditor))
    await shop.do(*TABLE, user=migrator)
    with pytest.raises(DENIED):
        await shop.do("SELECT * FROM {}.things", user=migrator)
    assert await shop.do("SELECT count(*) FROM {}.things", user=auditor) == [0]

    await shop.prepare(user=migrator)

    with pytest.raises(
        CommandError, match=r"this login may not change them \(.*permission denied.*as an administrator"
    ):
        await shop.prepare(shop.login(f"{shop.schema}_a"), user=migrator)
    with pytest.raises(CommandError, match="as an administrator"):
        await shop.prepare(user=auditor)


async def test_what_the_service_owned_before_is_the_owner_s_and_its_running_code_notices_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the version before these roles left it; the first upgrade dies amid its work."""
    schema = shop.schema
    await shop.do(
        f"CREATE ROLE {schema}_auditor",
        f"CREATE ROLE {schema} LOGIN PASSWORD '{PASSWORD}'",
        f"CREATE SCHEMA {schema} AUTHORIZATION {schema}",
        f"GRANT USAGE ON SCHEMA {schema} TO {schema}_auditor",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {schema} IN SCHEMA {schema} GRANT SELECT ON TABLES TO {schema}_auditor",
        f"SET ROLE {schema}",
        f'CREATE TABLE {schema}."Some things" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)',
        f"CREATE VIEW {schema}.others AS SELECT 1 AS id",
    )
    async with shop.session(schema) as old:
        insert = await old.prepare(f'INSERT INTO {schema}."Some things" DEFAULT VALUES RETURNING id')
        await insert.fetch()
        with monkeypatch.context() as dying:
            dying.setattr(roles.Roles, "_grant", dies)
            with pytest.raises(SystemExit):
                await shop.prepare()
        await insert.fetch()
        await shop.prepare()
        assert await old.fetchval(f'SELECT count(*) FROM {schema}."Some things"') == 2
        with pytest.raises(DENIED):
            await old.execute(f'DROP TABLE {schema}."Some things"')

    owned = f"SELECT count(*) FROM pg_shdepend WHERE refobjid = '{schema}'::regrole AND deptype = 'o'"
    assert await shop.do(owned) == [0]
    assert await shop.do("SELECT count(*) FROM pg_default_acl WHERE defaclrole = '{}'::regrole") == [0]
    assert await shop.do('SELECT count(*) FROM {}."Some things"', "SET ROLE {}_auditor", "SELECT 1 FROM {}.others") == [
        1
    ]
