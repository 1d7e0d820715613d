"""The rules that the migrations of every service keep, run as a person runs them, each in a database of its own.

A service's tests subclass MigrationRules, and add what its own history does to the rows that are there.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from chassis.testing import make_database, migrate
from sqlalchemy import MetaData

HISTORY = "alembic_version"


def query(url: str, statement: str, *, user: str | None = None) -> list[Any]:
    """The rows of the answer; as an administrator, or as a role whose password is its name."""

    async def ask() -> list[Any]:
        login = {"user": user, "password": user} if user else {}
        connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=5, **login)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(ask())


class History:
    """A service's migrations, and a database to run them in."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    def alembic(self, *command: str) -> str:
        return migrate(self.folder, self.url, *command)

    def query(self, statement: str, *, user: str | None = None) -> list[Any]:
        return query(self.url, statement, user=user)


class MigrationRules:
    schema: ClassVar[str]
    metadata: ClassVar[MetaData]

    @pytest.fixture
    def history(self, pytestconfig: pytest.Config, database_url: str) -> Iterator[History]:
        """On an empty database; the run's own is only asked for because it skips where there is no server."""
        url, remove = make_database()
        yield History(pytestconfig.rootpath, url)
        remove()

    @property
    def tables(self) -> set[str]:
        return {table.name for table in self.metadata.sorted_tables} | {HISTORY}

    def tables_in(self, history: History) -> set[str]:
        return {
            name for (name,) in history.query(f"SELECT tablename FROM pg_tables WHERE schemaname = '{self.schema}'")
        }

    def test_the_history_goes_up_and_down_and_up_again(self, history: History) -> None:
        for command, tables in (("upgrade head", self.tables), ("downgrade base", {HISTORY})) * 2:
            history.alembic(*command.split())
            assert self.tables_in(history) == tables

    def test_the_migrations_make_what_the_code_expects_and_touch_no_other_schema(self, history: History) -> None:
        history.query("CREATE SCHEMA somebody_elses")
        history.query(f"CREATE TABLE somebody_elses.{HISTORY} (version_num text)")
        history.query(f"INSERT INTO somebody_elses.{HISTORY} VALUES ('0007')")
        for table in self.tables - {HISTORY}:
            history.query(f"CREATE TABLE public.{table} (id int)")

        history.alembic("upgrade", "head")
        assert "No new upgrade operations detected" in history.alembic("check")
        history.alembic("downgrade", "base")
        assert history.query(f"SELECT version_num FROM somebody_elses.{HISTORY}") == [("0007",)]
        others = history.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert others == [(len(self.tables) - 1,)]

    def test_several_may_migrate_at_the_same_time(self, history: History) -> None:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: history.alembic("upgrade", "head"), range(3)))
        assert self.tables_in(history) == self.tables
        assert history.query(f"SELECT count(*) FROM {self.schema}.{HISTORY}") == [(1,)]

    def test_everything_is_the_owner_s_with_rows_for_the_service_and_reading_for_the_auditor(
        self, database_url: str
    ) -> None:
        owners = f"""
            SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = '{self.schema}'::regnamespace
            UNION SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = '{self.schema}'
        """
        assert query(database_url, owners) == [(f"{self.schema}_owner",)]
        # A role that PostgreSQL brings along stands for any other service's.
        usage = f"SELECT has_schema_privilege('pg_monitor', '{self.schema}', 'USAGE')"
        assert query(database_url, usage) == [(False,)]
        rights = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
        for role, allowed in ((self.schema, rights[:4]), ("auditor", rights[:1])):
            for table in self.tables:
                asked = ", ".join(
                    f"has_table_privilege('{role}', '{self.schema}.{table}', '{right}')" for right in rights
                )
                assert query(database_url, f"SELECT {asked}") == [tuple(right in allowed for right in rights)], table

    def test_a_login_that_may_only_switch_to_the_owner_migrates_once_an_administrator_has(
        self, history: History
    ) -> None:
        """Its name is none that a running system on the same server may have."""
        history.alembic("upgrade", "head")
        user = f"test_{uuid4().hex[:8]}"
        history.query(f"CREATE ROLE {user} LOGIN NOINHERIT PASSWORD '{user}' IN ROLE migrator")
        parts = urlsplit(history.url)
        login = parts._replace(netloc=f"{user}:{user}@{parts.hostname}:{parts.port or 5432}").geturl()
        migrator = History(history.folder, login)
        migrator.alembic("downgrade", "base")
        migrator.alembic("upgrade", "head")
        history.query(f"DROP ROLE {user}")
        assert self.tables_in(history) == self.tables
        assert history.query(f"SELECT count(*) FROM {self.schema}.inbox", user=self.schema) == [(0,)]

    def test_production_refuses_the_password_of_development(
        self, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        history.alembic("upgrade", "head")
        monkeypatch.setenv("ENVIRONMENT", "production")
        with pytest.raises(AssertionError, match=f"The role {self.schema} has its default password"):
            history.alembic("upgrade", "head")
