"""The tables of a service as its migrations made them: rows put in by hand, and what the database itself refuses."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none
import orjson
from sqlalchemy import Executable, MetaData, Table
from sqlalchemy.dialects.postgresql.asyncpg import dialect

Row = Mapping[str, object]
SAME = object()
"""In the changes of a case: the value of the row that is there already."""

_RULES = """
    WITH tables AS (
        SELECT oid, relname FROM pg_class
        WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') AND relname <> 'alembic_version'
    )
    SELECT relname || '.' || conname FROM tables JOIN pg_constraint ON conrelid = tables.oid WHERE contype <> 'n'
    UNION SELECT relname || '.' || indexrelid::regclass::name FROM tables JOIN pg_index ON indrelid = tables.oid
    WHERE indisunique
    UNION SELECT relname || '.' || attname || ' is not null' FROM tables JOIN pg_attribute ON attrelid = tables.oid
    WHERE attnotnull AND attnum > 0 AND NOT attisdropped
"""


@asynccontextmanager
async def connected(database_url: str, schema: str) -> AsyncIterator[asyncpg.Connection]:
    """As an administrator, who sees the schema's tables by their bare names."""
    connection = await asyncpg.connect(
        database_url.replace("+asyncpg", ""), timeout=5, server_settings={"search_path": schema}
    )
    try:
        yield connection
    finally:
        await connection.close()


async def insert(connection: asyncpg.Connection, table: str, *rows: Row) -> None:
    """Columns that a row lacks get their defaults. `rows` may bear whatever orjson writes, and Decimal."""
    for row in rows:
        columns = ", ".join(row)
        await connection.execute(
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, $1::jsonb)",
            orjson.dumps(dict(row), default=str).decode(),
        )


def an_inbox_row(at: datetime | None = None) -> dict[str, Any]:
    return {"consumer": "a-service", "event_id": uuid4(), "processed_at": at or datetime.now(UTC)}


def an_outbox_row(at: datetime | None = None) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "type": "Happened",
        "routing_key": "thing.happened",
        "order_id": str(uuid4()),
        "body": "{}",
        "created_at": at or datetime.now(UTC),
    }


def key(table: Table, row: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells the row from all others of its table."""
    return tuple(str(row[column.name]) for column in table.primary_key)


async def keys(connection: asyncpg.Connection, table: Table) -> set[tuple[str, ...]]:
    return {key(table, row) for row in await connection.fetch(f"SELECT * FROM {table.name}")}


Cases = Mapping[str, Sequence[Row]]
"""For each rule of the tables the changes by which a good row breaks it, and no other, beside another good row."""


def everywhere(metadata: MetaData) -> Cases:
    """The cases that every service has: its inbox and outbox, and whatever may not be null in any of its tables."""
    return {
        "inbox.inbox_pkey": [{"consumer": SAME, "event_id": SAME}],
        "outbox.outbox_pkey": [{"id": SAME}],
    } | {
        f"{table.name}.{column.name} is not null": [{str(column.name): None}]
        for table in metadata.sorted_tables
        for column in table.columns
        if not column.nullable
    }


class Net:
    """What a service's tables refuse by themselves, whatever a mistake in the code may write. `rows` makes a good row
    of each table."""

    def __init__(self, database_url: str, schema: str, rows: Mapping[str, Callable[[], Row]]) -> None:
        self._url = database_url
        self._schema = schema
        self._rows = rows

    async def rules(self) -> set[str]:
        """Whatever the database's catalog says that it refuses: `table.constraint`, `table.column is not null`."""
        async with connected(self._url, self._schema) as connection:
            return {name for (name,) in await connection.fetch(_RULES, self._schema)}

    async def refuses(self, rule: str, changes: Row) -> bool:
        """Whether that rule refuses a good row of its table with these changes, beside another good one."""
        make = self._rows[rule.partition(".")[0]]
        return await self._refused_by(rule.partition(".")[0], make(), {**make(), **changes}) == rule

    async def keeps(self, table: str, *rows: Row) -> bool:
        return await self._refused_by(table, *rows) is None

    async def _refused_by(self, table: str, first: Row, second: Row) -> str | None:
        """The rule that lets the first row through and refuses the second; None if none does. Nothing is left."""
        beside = {column: first[column] if value is SAME else value for column, value in second.items()}
        async with connected(self._url, self._schema) as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await insert(connection, table, first)
                try:
                    await insert(connection, table, beside)
                except asyncpg.NotNullViolationError as refusal:
                    return f"{refusal.table_name}.{refusal.column_name} is not null"
                except asyncpg.IntegrityConstraintViolationError as refusal:
                    return f"{refusal.table_name}.{refusal.constraint_name}"
                return None
            finally:
                await transaction.rollback()


async def plan_of(url: str, schema: str, statement: Executable, *values: str) -> str:
    """How PostgreSQL would execute the statement, with these values in the order of its parameters."""
    text = statement.compile(dialect=dialect())  # type: ignore[attr-defined,no-untyped-call]
    async with connected(url, schema) as connection:
        await connection.execute(f"PREPARE asked AS {text}")
        rows = await connection.fetch(f"EXPLAIN EXECUTE asked ({', '.join(values)})")
    return "\n".join(row[0] for row in rows)
