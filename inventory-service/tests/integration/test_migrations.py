import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from chassis.testing import make_database, migrate

from infrastructure.tables import SCHEMA, metadata

TABLES = set(metadata.tables)


@pytest.fixture
def fresh_database(database_url: str) -> Iterator[str]:
    """An empty database; the run's own is only asked for because it skips where there is no server."""
    url, remove = make_database()
    yield url
    remove()


@pytest.fixture
def alembic(pytestconfig: pytest.Config, fresh_database: str) -> Callable[..., str]:
    return lambda *command: migrate(pytestconfig.rootpath, fresh_database, *command)


def query(url: str, statement: str) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def tables_and_owners(url: str) -> dict[str, str]:
    return dict(query(url, f"SELECT tablename, tableowner FROM pg_tables WHERE schemaname = '{SCHEMA}'"))


def test_migrations_go_up_down_and_up_again(fresh_database: str, alembic: Callable[..., str]) -> None:
    alembic("upgrade", "head")
    assert tables_and_owners(fresh_database).keys() == TABLES | {"alembic_version"}
    alembic("downgrade", "base")
    assert tables_and_owners(fresh_database).keys() == {"alembic_version"}
    alembic("upgrade", "head")
    assert tables_and_owners(fresh_database).keys() == TABLES | {"alembic_version"}


def test_the_migrations_make_what_the_code_expects_and_look_at_no_other_schema(
    fresh_database: str, alembic: Callable[..., str]
) -> None:
    alembic("upgrade", "head")
    for schema in ("somebody_elses", "public"):
        query(fresh_database, f"CREATE SCHEMA IF NOT EXISTS {schema}")
        query(fresh_database, f"CREATE TABLE {schema}.orders (id uuid PRIMARY KEY)")
    assert "No new upgrade operations detected" in alembic("check")


def test_several_may_migrate_at_the_same_time(fresh_database: str, alembic: Callable[..., str]) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: alembic("upgrade", "head"), range(3)))
    assert tables_and_owners(fresh_database).keys() == TABLES | {"alembic_version"}


def test_everything_is_the_roles_own_and_the_auditors_to_read(database_url: str) -> None:
    assert set(tables_and_owners(database_url).values()) == {SCHEMA}
    for table in TABLES:
        rights = query(
            database_url,
            f"SELECT has_table_privilege('auditor', '{SCHEMA}.{table}', 'SELECT'),"
            f" has_table_privilege('auditor', '{SCHEMA}.{table}', 'INSERT, UPDATE, DELETE, TRUNCATE')",
        )
        assert rights == [(True, False)], table
