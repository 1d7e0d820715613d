"""The base of every repository. Each column of a table is the aggregate's field or property of the same name.

A batch is one statement, which is built once: SQLAlchemy takes longer to build a query than the server to answer it.
Statements that write take their rows as JSON. An update takes the keys as well, because the planner expects a hundred
rows of any JSON and would read the whole table instead of looking up so many.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from types import UnionType
from typing import Any, Generic, TypeVar, Union, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson
from chassis.ports.errors import Conflict
from pydantic import TypeAdapter
from sqlalchemy import ARRAY, Column, ColumnElement, Dialect, Executable, Table, Uuid, bindparam, func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

PRUNED_AT_ONCE = 10_000
_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_ABOVE_ALL = UUID(int=(1 << 128) - 1)

A = TypeVar("A")


class Mapped(Generic[A]):
    """A table, its aggregate's class and its statements. Aggregates are found, locked and sorted by the column `key`.

    Each statement's execution options describe it (`does`), so that PostgreSQL's stand-in in tests need not parse SQL.
    """

    def __init__(self, table: Table, kind: type[A], *, key: str) -> None:
        self.table, self.kind, self.key = table, kind, key
        self.columns = tuple(str(column.name) for column in table.columns)
        self.key_of: Callable[[A], UUID] = attrgetter(key)
        self.state: Callable[[A], tuple[Any, ...]] = attrgetter(*self.columns)
        self._loaded = self._readers()
        with_keys = select(table).where(table.c[key] == func.any(bindparam("keys", type_=ARRAY(Uuid))))
        self.get = self._does("get", with_keys)
        self.lock = self._does("lock", with_keys.order_by(table.c[key]).with_for_update())
        columns = ", ".join(self.columns)
        self.insert = self._does(
            "insert",
            text(
                f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {self._rows(self.columns)}"  # noqa: S608 (names of our own, values are bound)
                f" ORDER BY {key} ON CONFLICT DO NOTHING"
            ),
        )
        self._updates: dict[tuple[str, ...], Executable] = {}

    def find(self, *conditions: ColumnElement[bool]) -> Executable:
        """Reads the rows that meet the conditions."""
        return self._does("find", select(self.table).where(*conditions), conditions)

    def page(self, by: Column[Any], *conditions: ColumnElement[bool]) -> Executable:
        """Reads the rows below `before`, the newest first and `most` at most."""
        query = select(self.table).where(by < bindparam("before", type_=Uuid), *conditions)
        return self._does("page", query.order_by(by.desc()).limit(bindparam("most")), by, conditions)

    def count(self, by: Column[Any], present: Column[Any]) -> Executable:
        """Counts the rows in which `present` is not null, for each of `values` that the column `by` has in any."""
        wanted = by == func.any(bindparam("values", type_=ARRAY(by.type)))
        query = select(by, func.count()).where(wanted, present.is_not(None)).group_by(by)
        return self._does("count", query, by, present)

    def lock_due(self, due: Column[Any], *conditions: ColumnElement[bool]) -> Executable:
        """Locks rows whose time has come, the oldest first and `most` at most; skips rows that are locked already."""
        query = select(self.table).where(due <= func.now(), *conditions).order_by(due).limit(bindparam("most"))
        return self._does("lock due", query.with_for_update(skip_locked=True), due, conditions)

    @cached_property
    def to_remind(self) -> Executable:
        return self.lock_due(self.table.c.remind_at)

    def prune(self, due: Column[Any], *conditions: ColumnElement[bool]) -> Executable:
        """Deletes rows whose time has come."""
        where = " AND ".join(
            str(condition.compile(dialect=_POSTGRESQL, compile_kwargs={"literal_binds": True}))
            for condition in (due < func.now(), *conditions)
        )
        return self._does("prune", deletion(self.table.name, where), due, conditions)

    def update(self, columns: tuple[str, ...]) -> Executable:
        """Writes these columns of the rows."""
        if columns not in self._updates:
            name, key = self.table.name, self.key
            changes = ", ".join(f"{column} = r.{column}" for column in columns)
            self._updates[columns] = self._does(
                "update",
                text(
                    f"UPDATE {name} SET {changes} FROM {self._rows((key, *columns))}"  # noqa: S608 (names of our own, values are bound)
                    f" WHERE {name}.{key} = ANY(CAST(:keys AS uuid[])) AND {name}.{key} = r.{key}"
                ),
            )
        return self._updates[columns]

    def load(self, row: Sequence[Any]) -> A:
        return self.kind(**{name: read(row[at]) if read else row[at] for name, at, read in self._loaded})

    def _does(self, what: str, statement: Any, *details: object) -> Executable:
        return cast(Executable, statement.execution_options(does=(what, self, *details)))

    def _rows(self, columns: Iterable[str]) -> str:
        typed = (f"{name} {self.table.c[name].type.compile(_POSTGRESQL)}" for name in columns)
        return f"jsonb_to_recordset(CAST(:rows AS jsonb)) AS r ({', '.join(typed)})"

    def _readers(self) -> list[tuple[str, int, Callable[[Any], Any] | None]]:
        """For each field its name, its column's place, and what converts a value if a conversion is needed."""
        hints = get_type_hints(self.kind)
        names = [field.name for field in fields(cast(Any, self.kind)) if field.name not in ("events", "repeats")]
        if lost := set(names) - set(self.columns):
            raise TypeError(f"{self.table.name} has no column for {', '.join(sorted(lost))} of {self.kind.__name__}")
        return [(name, self.columns.index(name), _reader(hints[name], self.table.c[name])) for name in names]


def _reader(hint: Any, column: Column[Any]) -> Callable[[Any], Any] | None:
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if isinstance(column.type, JSONB):
        return TypeAdapter(hint).validate_python
    status = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, StrEnum)), None)
    if status is None:
        return None
    known: Mapping[str | None, Any] = {member.value: member for member in status} | {None: None}
    return known.__getitem__


class PostgresRepository(Generic[A]):
    """Loads and adds aggregates and remembers them, so that the unit of work can save what has changed."""

    mapped: Mapped[A]

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._seen: dict[UUID, A] = {}
        self._before: dict[UUID, tuple[Any, ...]] = {}
        """The state of each loaded aggregate when it was loaded."""

    def __iter__(self) -> Iterator[A]:
        """The locked and the added aggregates, in the order of their keys."""
        return (self._seen[key] for key in sorted(self._seen))

    async def read(self, statement: Executable, **parameters: object) -> list[A]:
        """The aggregates that the statement finds, for reading only."""
        return [self.mapped.load(row) for row in await self._connection.execute(statement, parameters)]

    async def get(self, keys: Sequence[UUID]) -> dict[UUID, A]:
        """The aggregates that exist, by key, for reading only."""
        found = await self.read(self.mapped.get, keys=list(set(keys)))
        return {self.mapped.key_of(aggregate): aggregate for aggregate in found}

    async def newest(self, statement: Executable, *, before: UUID | None, limit: int, **parameters: object) -> list[A]:
        """What a `page` statement reads."""
        return await self.read(statement, before=before or _ABOVE_ALL, most=limit, **parameters)

    async def counts(self, statement: Executable, values: Iterable[Any]) -> dict[Any, int]:
        """What a `count` statement counts, by value."""
        rows = await self._connection.execute(statement, {"values": list(values)})
        return {row[0]: row[1] for row in rows}

    async def locked(self, keys: Sequence[UUID]) -> dict[UUID, A]:
        """The aggregates that exist, by key, locked in the order of their keys until the transaction ends."""
        wanted = set(keys)
        if unseen := wanted - self._seen.keys():
            await self.locked_by(self.mapped.lock, keys=list(unseen))
        return {key: self._seen[key] for key in sorted(wanted & self._seen.keys())}

    async def locked_by(self, statement: Executable, **parameters: object) -> list[A]:
        """The aggregates that the statement locks; one locked or added before as it is now, not as its row is."""
        found = await self.read(statement, **parameters)
        for aggregate in found:
            if (key := self.mapped.key_of(aggregate)) not in self._seen:
                self._seen[key] = aggregate
                self._before[key] = self.mapped.state(aggregate)
        return [self._seen[self.mapped.key_of(aggregate)] for aggregate in found]

    async def locked_to_remind(self, limit: int) -> list[A]:
        """Locks the aggregates whose `remind_at` has come, the oldest first, except those that are locked already."""
        return await self.locked_by(self.mapped.to_remind, most=limit)

    def add(self, added: A) -> A:
        """Raises ValueError if this repository has an aggregate with that key already."""
        if (key := self.mapped.key_of(added)) in self._seen:
            raise ValueError(f"{key} is in {self.mapped.table.name} already")
        self._seen[key] = added
        return added

    async def insert_added(self) -> None:
        """Of two transactions that insert one row, the second waits for the first; raises Conflict if that commits."""
        added = [aggregate for key, aggregate in self._seen.items() if key not in self._before]
        if added:
            columns = self.mapped.columns
            rows = [dict(zip(columns, self.mapped.state(aggregate), strict=True)) for aggregate in added]
            if (await self._connection.execute(self.mapped.insert, {"rows": _json(rows)})).rowcount < len(rows):
                raise Conflict("another transaction has inserted one of these rows first")

    async def save_changed(self) -> None:
        """Updates the rows that have changed since they were loaded: the columns that have changed in any of them."""
        before, name = self._before, self.mapped.key
        after = {key: self.mapped.state(self._seen[key]) for key in before}
        changed = [key for key in before if after[key] != before[key]]
        if changed:
            columns = [
                (column, place)
                for place, column in enumerate(self.mapped.columns)
                if any(after[key][place] != before[key][place] for key in changed)
            ]
            rows = [{name: key} | {column: after[key][place] for column, place in columns} for key in changed]
            statement = self.mapped.update(tuple(column for column, _ in columns))
            await self._connection.execute(statement, {"keys": changed, "rows": _json(rows)})


def deletion(table: str, condition: str) -> Any:
    """Deletes PRUNED_AT_ONCE rows at most.

    The condition is stated twice because PostgreSQL before 17.7, 16.11 and 15.15 doesn't check again whether it holds
    for a row that another transaction has just changed ("Add missing EPQ recheck for TID Scan").
    """
    some = f"SELECT ctid FROM {table} WHERE {condition} LIMIT {PRUNED_AT_ONCE}"  # noqa: S608 (names of our own, values are bound)
    return text(f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({some})) AND ({condition})")  # noqa: S608 (names of our own, values are bound)


async def delete_in_batches(connection: AsyncConnection, statement: Executable, **parameters: object) -> None:
    """Runs a `deletion` until nothing is left. Each run is a transaction of its own if the connection autocommits."""
    while (await connection.execute(statement, parameters)).rowcount:
        pass


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as one JSON parameter. A Decimal becomes a string, so that numeric gets every digit."""
    return orjson.dumps(rows, default=str).decode()
