"""The migrations, run as a person runs them, in databases of their own."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from chassis.testing import make_database, migrate
from chassis.testing.migrations import MigrationRules

from infrastructure.tables import SCHEMA, metadata

SERVICE = Path(__file__).parents[2]
TABLES = {table.name for table in metadata.sorted_tables}
NOTHING_TO_DO = "No new upgrade operations detected"


class TestMigrations(MigrationRules):
    schema = SCHEMA
    metadata = metadata


@pytest.fixture
def empty_database(database_url: str) -> Iterator[str]:
    """One that no migration has seen; `database_url` skips the test where no server is."""
    url, remove = make_database()
    yield url
    remove()


def query(url: str, statement: str, *, user: str | None = None) -> list[Any]:
    """The first column of the answer; as an administrator, or as a user whose password is its name."""

    async def run() -> list[Any]:
        address = url.replace("+asyncpg", "")
        login = {"user": user, "password": user} if user else {}
        connection = await asyncpg.connect(address, timeout=5, **login)
        try:
            return [row[0] for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(run())


def tables(url: str) -> set[str]:
    return set(query(url, f"SELECT tablename FROM pg_tables WHERE schemaname = '{SCHEMA}'"))


def test_a_migration_does_not_wait_for_a_backup_with_all_orders_behind_it(empty_database: str) -> None:
    migrate(SERVICE, empty_database, "upgrade", "head")

    async def refused_while_the_table_is_read() -> str:
        connection = await asyncpg.connect(empty_database.replace("+asyncpg", ""))
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {SCHEMA}.orders IN ACCESS SHARE MODE")
                with pytest.raises(AssertionError) as refusal:
                    await asyncio.to_thread(migrate, SERVICE, empty_database, "downgrade", "base")
                return str(refusal.value)
        finally:
            await connection.close()

    assert "was in use for 5 s" in asyncio.run(refused_while_the_table_is_read())
    migrate(SERVICE, empty_database, "downgrade", "base")


def test_keys_belong_to_their_customers_after_0003_and_to_the_first_of_them_before(empty_database: str) -> None:
    order = """
        INSERT INTO orders (id, customer_id, items, total_amount, currency, status, timeline, expires_at, due_at,
                            created_at, updated_at, traceparent)
        SELECT '%s', '%s', '[]', 1, 'USD', 'pending', '[]', now(), now(), now(), now(), ''
    """
    first, second, gone = (str(uuid4()) for _ in range(3))
    ann, bob = (str(uuid4()) for _ in range(2))

    def keys(columns: str) -> list[Any]:
        return query(empty_database, f"SELECT array[{columns}, resource_id::text] FROM idempotency_keys ORDER BY 1")

    migrate(SERVICE, empty_database, "upgrade", "0002")
    query(empty_database, order % (first, ann))
    query(empty_database, order % (second, bob))
    old = "INSERT INTO idempotency_keys (key, fingerprint, resource_id) VALUES"
    query(empty_database, f"{old} ('a', '1', '{first}'), ('b', '2', '{second}'), ('c', '3', '{gone}')")

    migrate(SERVICE, empty_database, "upgrade", "head")
    fingerprint = "convert_from(request_fingerprint, 'UTF8')"
    assert keys(f"caller, key, {fingerprint}") == sorted([[ann, "a", "1", first], [bob, "b", "2", second]])

    new = "INSERT INTO idempotency_keys (caller, key, request_fingerprint, resource_id, created_at) VALUES"
    query(empty_database, f"{new} ('{bob}', 'a', '4', '{second}', now() + interval '1 s')")
    query(empty_database, f"{new} ('{ann}', 'b', '5', '{first}', now() - interval '1 h')")
    migrate(SERVICE, empty_database, "downgrade", "0002")
    assert keys("key, convert_from(fingerprint, 'UTF8')") == [["a", "1", first], ["b", "5", first]]

    migrate(SERVICE, empty_database, "upgrade", "head")
    assert keys("caller, key") == [[ann, "a", first], [ann, "b", first]]


def test_orders_of_before_0008_and_of_the_version_beside_it_lack_nothing_and_no_row_is_rewritten(
    empty_database: str,
) -> None:
    order = """
        INSERT INTO orders (id, customer_id, items, total_amount, currency, status, reason, timeline, expires_at,
                            created_at, updated_at, traceparent)
        SELECT gen_random_uuid(), gen_random_uuid(), '[]', 1, 'USD', 'failed', 'out-of-stock', '[]', now(), now(),
               now(), ''
    """
    file = f"SELECT pg_relation_filenode('{SCHEMA}.orders')"
    migrate(SERVICE, empty_database, "upgrade", "0007")
    query(empty_database, order)
    before = query(empty_database, file)
    migrate(SERVICE, empty_database, "upgrade", "head")
    query(empty_database, order)
    assert query(empty_database, "SELECT shortages::text FROM orders") == ["[]", "[]"]
    assert query(empty_database, file) == before
    migrate(SERVICE, empty_database, "downgrade", "0007")
    assert query(empty_database, "SELECT count(*) FROM orders") == [2]


def test_orders_that_are_open_when_the_service_is_updated_ask_again_and_so_do_those_that_the_old_version_places(
    empty_database: str,
) -> None:
    order = """
        INSERT INTO orders (id, customer_id, items, total_amount, currency, status, timeline, expires_at, due_at,
                            created_at, updated_at, traceparent)
        SELECT gen_random_uuid(), gen_random_uuid(), '[]', 1, 'USD', '%s', '[]', now(), %s, now(), now(), ''
    """
    migrate(SERVICE, empty_database, "upgrade", "0003")
    query(empty_database, order % ("pending", "now()"))
    query(empty_database, order % ("completed", "NULL"))

    migrate(SERVICE, empty_database, "upgrade", "head")
    query(empty_database, order % ("confirmed", "now()"))

    soon = "remind_at BETWEEN now() + interval '1 second' AND now() + interval '30 seconds'"
    assert query(empty_database, f"SELECT array[status, ({soon})::text] FROM orders ORDER BY status") == [
        ["completed", None],
        ["confirmed", "true"],
        ["pending", "true"],
    ]


def test_the_price_of_orders_that_the_version_before_0005_places_is_trusted(empty_database: str) -> None:
    order = """
        INSERT INTO orders (id, customer_id, items, total_amount, currency, status, timeline, expires_at, due_at,
                            created_at, updated_at, traceparent, remind_at)
        SELECT gen_random_uuid(), gen_random_uuid(), '[]', 1, 'USD', 'pending', '[]', now(), now(), now(), now(), '',
               now()
    """
    migrate(SERVICE, empty_database, "upgrade", "0004")
    query(empty_database, order)
    migrate(SERVICE, empty_database, "upgrade", "head")
    query(empty_database, order)
    assert query(empty_database, "SELECT price_trusted FROM orders") == [True, True]

    query(empty_database, "UPDATE orders SET price_trusted = false")
    migrate(SERVICE, empty_database, "downgrade", "0004")
    migrate(SERVICE, empty_database, "upgrade", "head")
    assert query(empty_database, "SELECT price_trusted FROM orders") == [True, True]


@pytest.fixture
def administrator(empty_database: str) -> Iterator[str]:
    """A role that owns the database, may make roles, and is no superuser: what a managed server gives its customers."""
    name = f"boss_{uuid4().hex[:8]}"
    query(empty_database, f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{name}'")
    query(empty_database, f"ALTER DATABASE {urlsplit(empty_database).path[1:]} OWNER TO {name}")
    if int(query(empty_database, "SHOW server_version_num")[0]) >= 160_000:  # what is given to a role's maker
        for role in (SCHEMA, f"{SCHEMA}_owner", "migrator"):
            query(empty_database, f"GRANT {role} TO {name} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
    yield name
    query(empty_database, f"REASSIGN OWNED BY {name} TO CURRENT_USER")
    query(empty_database, f"DROP OWNED BY {name} CASCADE")
    query(empty_database, f"DROP ROLE {name}")


def test_an_administrator_need_not_be_a_superuser(empty_database: str, administrator: str) -> None:
    parts = urlsplit(empty_database)
    login = parts._replace(netloc=f"{administrator}:{administrator}@{parts.hostname}:{parts.port or 5432}")
    migrate(SERVICE, urlunsplit(login), "upgrade", "head")
    assert tables(empty_database) == TABLES | {"alembic_version"}


def test_the_role_sees_its_own_schema_and_no_other(empty_database: str) -> None:
    migrate(SERVICE, empty_database, "upgrade", "head")
    query(empty_database, "CREATE SCHEMA payments")
    query(empty_database, "CREATE TABLE payments.payments (id int)")

    assert query(empty_database, f"SELECT count(*) FROM {SCHEMA}.orders", user=SCHEMA) == [0]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(empty_database, "SELECT * FROM payments.payments", user=SCHEMA)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(empty_database, "CREATE TABLE payments.mine (id int)", user=SCHEMA)


def test_a_person_needs_no_schema_s_name(database_url: str) -> None:
    assert isinstance(query(database_url, "SELECT count(*) FROM orders")[0], int)


def test_a_database_whose_name_needs_quotes_is_migrated_too(database_url: str) -> None:
    """`ALTER DATABASE` is the one statement that spells the database's name."""
    name = f"Test {urlsplit(database_url).path[1:]}"
    query(database_url, f'CREATE DATABASE "{name}"')
    try:
        url = database_url.replace(urlsplit(database_url).path, f"/{name.replace(' ', '%20')}")
        migrate(SERVICE, url, "upgrade", "head")
        assert tables(url) == TABLES | {"alembic_version"}
    finally:
        query(database_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def test_a_database_of_a_newer_version_is_named_as_such_and_left_alone(empty_database: str) -> None:
    migrate(SERVICE, empty_database, "upgrade", "head")
    query(empty_database, f"UPDATE {SCHEMA}.alembic_version SET version_num = '9999'")

    with pytest.raises(AssertionError, match=r"schema orders is at revision 9999(.|\n)*belongs to a newer version"):
        migrate(SERVICE, empty_database, "upgrade", "head")

    assert query(empty_database, f"SELECT version_num FROM {SCHEMA}.alembic_version") == ["9999"]
