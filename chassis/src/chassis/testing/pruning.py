"""Which rows of a service's tables go with time, and which stay: each table has a decision, with rows that show it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chassis.postgres import inbox
from chassis.postgres.database import Database
from chassis.postgres.repository import delete_in_batches
from chassis.testing import eventually
from chassis.testing.running import load_main
from chassis.testing.tables import Row, an_inbox_row, an_outbox_row, connected, insert, key, keys
from sqlalchemy import Executable, MetaData

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONG = 1000 * DAY
"""Ago: whatever is not pruned by then never is."""

Keys = dict[str, set[tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Decision:
    stay: Sequence[Row]
    go: Sequence[Row] = ()


def ago(time: timedelta) -> datetime:
    return datetime.now(UTC) - time


def inbox_and_outbox() -> dict[str, Decision]:
    """An event is remembered for seven days, and kept until the broker has confirmed it, however long that takes."""
    return {
        "inbox": Decision(
            stay=[an_inbox_row(), an_inbox_row(ago(7 * DAY - HOUR))],
            go=[an_inbox_row(ago(7 * DAY + HOUR)), an_inbox_row(ago(LONG))],
        ),
        "outbox": Decision(stay=[an_outbox_row(), an_outbox_row(ago(LONG))]),
    }


class Tables:
    """A service's tables, with the rows that its decisions tell of."""

    def __init__(self, database_url: str, schema: str, metadata: MetaData) -> None:
        self._url = database_url
        self._schema = schema
        self._tables = {table.name: table for table in metadata.sorted_tables}

    async def fill(self, decisions: Mapping[str, Decision], *, stay: bool = True) -> Keys:
        """Puts the rows in, and returns the keys of those that will stay."""
        assert decisions.keys() == self._tables.keys(), "each table is pruned, or kept on purpose"
        async with connected(self._url, self._schema) as connection:
            for name, decision in decisions.items():
                await insert(connection, name, *decision.go, *(decision.stay if stay else ()))
        return {
            name: {key(self._tables[name], row) for row in decision.stay} if stay else set()
            for name, decision in decisions.items()
        }

    async def left(self) -> Keys:
        async with connected(self._url, self._schema) as connection:
            return {name: await keys(connection, table) for name, table in self._tables.items()}

    async def are_empty(self) -> bool:
        return not any((await self.left()).values())

    async def empty(self) -> None:
        async with connected(self._url, self._schema) as connection:
            await connection.execute(f"TRUNCATE {', '.join(self._tables)}")


@asynccontextmanager
async def emptied(database_url: str, schema: str, metadata: MetaData) -> AsyncIterator[Tables]:
    """The service's tables, empty at the beginning and at the end."""
    tables = Tables(database_url, schema, metadata)
    await tables.empty()
    yield tables
    await tables.empty()


async def prune(database: Database, *statements: Executable) -> None:
    """Runs the inbox's pruning and these, each as the service does."""
    for statement in (inbox.PRUNE, *statements):
        async with database.autocommit() as connection:
            await delete_in_batches(connection, statement)


async def prunes_by_itself(
    folder: Path, tables: Tables, decisions: Mapping[str, Decision], rabbitmq_url: str, database_url: str
) -> None:
    """Runs the service until it has forgotten all that goes: once as soon as it starts, and then again and again."""
    for turns in (1, 2):
        with pytest.MonkeyPatch.context() as patch:
            if turns > 1:
                patch.setattr("chassis.runtime.service.PRUNE_EVERY_SECONDS", 0.05)
            main = load_main(folder, DATABASE_URL=database_url, RABBITMQ_URL=rabbitmq_url)
        await tables.fill(decisions, stay=False)
        async with main.app.router.lifespan_context(main.app):
            await eventually(tables.are_empty)
            for _ in range(turns - 1):
                await tables.fill(decisions, stay=False)
                await eventually(tables.are_empty)
