"""PostgreSQL in memory, as far as a service can tell: transactions, row locks, and the statements of the chassis.

Statements are known by what they say that they do (`Mapped`) or by their public names, never by their SQL; rows arrive
as the JSON that PostgreSQL gets. Isolation is READ COMMITTED, as there: a row is read once it is locked, and a row that
is not there can be neither seen nor locked. tests/test_repository.py holds this and the real one to the same rules.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Protocol, cast
from uuid import UUID

import orjson
from chassis.postgres import idempotency, inbox, outbox, unit_of_work
from chassis.postgres.repository import Mapped
from sqlalchemy import Column, DateTime, Numeric, Uuid
from sqlalchemy.sql.operators import is_not

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]


class OutboxRow(NamedTuple):
    id: UUID
    type: str
    routing_key: str
    order_id: str
    body: str
    created_at: datetime


class KeyRow(NamedTuple):
    caller: str
    key: str
    request_fingerprint: bytes
    resource_id: UUID
    created_at: datetime


class Lock(Protocol):
    def locked(self) -> bool: ...

    async def acquire(self) -> Any: ...

    def release(self) -> None: ...


class Result:
    """What a statement returns, as SQLAlchemy's results are read."""

    def __init__(self, rows: Iterable[Any] = (), rowcount: int = 0) -> None:
        self._rows = list(rows)
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        return self._rows

    def one(self) -> Any:
        [row] = self._rows
        return row

    def scalar_one(self) -> Any:
        [[value]] = self._rows
        return value


class Server:
    """The database of one service: what is durable, and who has locked what."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self.tables: dict[str, dict[UUID, Row]] = {}
        self.inbox: dict[tuple[str, UUID], datetime] = {}
        self.outbox: dict[UUID, OutboxRow] = {}
        self.keys: dict[tuple[str, str], KeyRow] = {}
        self.sweeper: Connection | None = None
        self._locks: dict[Hashable, Lock] = {}

    def new_lock(self) -> Lock:
        return asyncio.Lock()

    def lock(self, what: Hashable) -> Lock:
        """The lock on a row or on a unique value, which may not be there yet."""
        if what not in self._locks:
            self._locks[what] = self.new_lock()
        return self._locks[what]

    def rows(self, table: str) -> dict[UUID, Row]:
        return self.tables.setdefault(table, {})


class Connection:
    """A session, and the transaction that it is in."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.now = server.now()
        self.written: dict[tuple[str, UUID], Row] = {}
        self.inbox: dict[tuple[str, UUID], datetime] = {}
        self.outbox: dict[UUID, OutboxRow] = {}
        self.keys: dict[tuple[str, str], KeyRow] = {}
        self._locks: dict[Hashable, Lock] = {}

    @property
    def changed(self) -> bool:
        return bool(self.written or self.inbox or self.outbox or self.keys)

    async def execute(self, statement: Any, parameters: Parameters | None = None) -> Result:
        if statement in _NAMED:
            return await _NAMED[statement](self, parameters or {})
        what, mapped, *details = statement.get_execution_options()["does"]
        return await _MAPPED[what](self, mapped, parameters or {}, *details)

    async def commit(self) -> None:
        self.store()
        self.roll_back()

    def store(self) -> None:
        """Makes what was written durable."""
        for (table, key), row in self.written.items():
            self.server.rows(table)[key] = row
        self.server.inbox |= self.inbox
        self.server.outbox |= {key: row for key, row in self.outbox.items() if key not in self.server.outbox}
        self.server.keys |= self.keys

    async def close(self) -> None:
        self.roll_back()

    async def invalidate(self) -> None:
        self.roll_back()

    def roll_back(self) -> None:
        for changes in (self.written, self.inbox, self.outbox, self.keys):
            cast(dict[Any, Any], changes).clear()
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()
        if self.server.sweeper is self:
            self.server.sweeper = None

    async def lock(self, what: Hashable) -> None:
        if what not in self._locks:
            lock = self.server.lock(what)
            await lock.acquire()
            self._locks[what] = lock

    def is_free(self, what: Hashable) -> bool:
        return what in self._locks or not self.server.lock(what).locked()

    def _row(self, table: str, key: UUID) -> Row | None:
        return self.written.get((table, key)) or self.server.rows(table).get(key)

    async def _get(self, mapped: Mapped[Any], parameters: Parameters) -> Result:
        rows = (self._row(mapped.table.name, key) for key in parameters["keys"])
        return Result(row for row in rows if row is not None)

    async def _lock_keys(self, mapped: Mapped[Any], parameters: Parameters) -> Result:
        table, found = mapped.table.name, []
        for key in sorted(parameters["keys"]):
            if self._row(table, key) is not None:
                await self.lock((table, key))
                found.append(self._row(table, key))  # as it is by now
        return Result(row for row in found if row is not None)

    async def _lock_due(
        self, mapped: Mapped[Any], parameters: Parameters, due: Column[Any], conditions: Sequence[Any]
    ) -> Result:
        table = mapped.table.name
        rows = self._due(mapped, due, conditions, parameters)
        free = [key for key in rows if self.is_free((table, key))][: parameters["most"]]
        for key in free:
            await self.lock((table, key))
        return Result(rows[key] for key in free)

    async def _find(self, mapped: Mapped[Any], parameters: Parameters, conditions: Sequence[Any]) -> Result:
        return Result(
            row for row in self.server.rows(mapped.table.name).values() if _meets(mapped, row, conditions, parameters)
        )

    async def _page(
        self, mapped: Mapped[Any], parameters: Parameters, by: Column[Any], conditions: Sequence[Any]
    ) -> Result:
        rows = await self._find(mapped, parameters, conditions)
        place = mapped.columns.index(by.name)
        below = sorted((row for row in rows if row[place] < parameters["before"]), key=lambda row: row[place])
        return Result(below[::-1][: parameters["most"]])

    async def _count(
        self, mapped: Mapped[Any], parameters: Parameters, by: Column[Any], present: Column[Any]
    ) -> Result:
        value, filled = mapped.columns.index(by.name), mapped.columns.index(present.name)
        rows = self.server.rows(mapped.table.name).values()
        return Result(Counter(row[value] for row in rows if row[filled] and row[value] in parameters["values"]).items())

    async def _insert(self, mapped: Mapped[Any], parameters: Parameters) -> Result:
        inserted = 0
        for row in sorted(_typed(mapped, parameters["rows"]), key=lambda row: row[mapped.key]):
            what = (mapped.table.name, row[mapped.key])
            await self.lock(what)
            if self._row(*what) is None:
                self.written[what] = tuple(row[column] for column in mapped.columns)
                inserted += 1
        return Result(rowcount=inserted)

    async def _update(self, mapped: Mapped[Any], parameters: Parameters) -> Result:
        for changes in _typed(mapped, parameters["rows"]):
            what = (mapped.table.name, changes[mapped.key])
            await self.lock(what)
            if before := self._row(*what):
                after = dict(zip(mapped.columns, before, strict=True)) | changes
                self.written[what] = tuple(after[column] for column in mapped.columns)
        return Result()

    async def _prune(
        self, mapped: Mapped[Any], parameters: Parameters, due: Column[Any], conditions: Sequence[Any]
    ) -> Result:
        table = mapped.table.name
        gone = [key for key in self._due(mapped, due, conditions, parameters) if self.is_free((table, key))]
        for key in gone:
            del self.server.rows(table)[key]
        return Result()  # as if nothing were left: what is locked now is left to the next pruning

    def _due(
        self, mapped: Mapped[Any], due: Column[Any], conditions: Sequence[Any], parameters: Parameters
    ) -> dict[UUID, Row]:
        """The rows whose time has come, the oldest first."""
        place = mapped.columns.index(due.name)
        found = [
            (row[place], key, row)
            for key, row in self.server.rows(mapped.table.name).items()
            if row[place] and row[place] <= self.now and _meets(mapped, row, conditions, parameters)
        ]
        return {key: row for _, key, row in sorted(found, key=lambda each: each[:2])}

    async def _tell_time(self, _: Parameters) -> Result:
        return Result([(self.now,)])

    async def _take_in(self, parameters: Parameters) -> Result:
        fresh = []
        for event_id in sorted(parameters["ids"]):
            key = (parameters["consumer"], event_id)
            if key not in self.server.inbox:
                await self.lock(key)
            if key not in self.server.inbox and key not in self.inbox:
                self.inbox[key] = self.now
                fresh.append(event_id)
        return Result([(self.now, fresh)])

    async def _prune_inbox(self, _: Parameters) -> Result:
        before = self.server.now() - timedelta(days=inbox.KEPT_DAYS)
        self.server.inbox = {key: at for key, at in self.server.inbox.items() if at >= before}
        return Result()

    async def _fill_outbox(self, parameters: Parameters) -> Result:
        columns = ("ids", "types", "keys", "order_ids", "bodies")
        for row in zip(*(parameters[column] for column in columns), strict=True):
            self.outbox.setdefault(row[0], OutboxRow._make((*row, self.now)))
        return Result()

    async def _empty_outbox(self, parameters: Parameters) -> Result:
        for event_id in parameters["ids"]:
            self.server.outbox.pop(event_id, None)
        return Result()

    async def _left_behind(self, parameters: Parameters) -> Result:
        before = self.server.now() - timedelta(seconds=parameters["age"])
        rows = [row for row in self.server.outbox.values() if row.created_at < before and row.id > parameters["after"]]
        return Result(sorted(rows)[:1000])

    async def _backlog(self, _: Parameters) -> Result:
        ages = [(self.server.now() - row.created_at).total_seconds() for row in self.server.outbox.values()]
        return Result([(len(ages), max(ages, default=0))])

    async def _try_lock(self, _: Parameters) -> Result:
        if self.server.sweeper is None:
            self.server.sweeper = self
        return Result([(self.server.sweeper is self,)])

    async def _unlock(self, _: Parameters) -> Result:
        if self.server.sweeper is self:
            self.server.sweeper = None
        return Result()

    async def _claim(self, parameters: Parameters) -> Result:
        columns = ("callers", "keys", "fingerprints", "resources")
        for row in sorted(zip(*(parameters[column] for column in columns), strict=True)):
            key = row[:2]
            await self.lock(key)
            known = self.server.keys.get(key)
            if known is None or known.created_at < self.now - timedelta(hours=idempotency.KEPT_HOURS):
                self.keys.setdefault(key, KeyRow._make((*row, self.now)))
        return Result()

    async def _owners(self, parameters: Parameters) -> Result:
        keys = zip(parameters["callers"], parameters["keys"], strict=True)
        return Result((self.keys.get(key) or self.server.keys[key])[:4] for key in keys)

    async def _release(self, parameters: Parameters) -> Result:
        for key in zip(parameters["callers"], parameters["keys"], strict=True):
            del self.keys[key]
        return Result()

    async def _prune_keys(self, _: Parameters) -> Result:
        before = self.server.now() - timedelta(hours=idempotency.KEPT_HOURS)
        self.server.keys = {key: row for key, row in self.server.keys.items() if row.created_at >= before}
        return Result()


_MAPPED: dict[str, Callable[..., Awaitable[Result]]] = {
    "get": Connection._get,
    "lock": Connection._lock_keys,
    "lock due": Connection._lock_due,
    "find": Connection._find,
    "page": Connection._page,
    "count": Connection._count,
    "insert": Connection._insert,
    "update": Connection._update,
    "prune": Connection._prune,
}
_NAMED: dict[object, Callable[[Connection, Parameters], Awaitable[Result]]] = {
    unit_of_work.NOW: Connection._tell_time,
    inbox.TAKE_IN: Connection._take_in,
    inbox.PRUNE: Connection._prune_inbox,
    outbox.INSERT: Connection._fill_outbox,
    outbox.DELETE: Connection._empty_outbox,
    outbox.LEFT_BEHIND: Connection._left_behind,
    outbox.BACKLOG: Connection._backlog,
    outbox.TRY_LOCK: Connection._try_lock,
    outbox.UNLOCK: Connection._unlock,
    idempotency.CLAIM: Connection._claim,
    idempotency.OWNERS: Connection._owners,
    idempotency.RELEASE: Connection._release,
    idempotency.PRUNE: Connection._prune_keys,
}


class MemoryDatabase:
    """One process's pool of connections: what stands in for chassis.postgres.database.Database."""

    def __init__(self, server: Server | None = None) -> None:
        self.server = server or Server()
        self.schema = "memory"

    async def connect(self) -> Connection:
        return Connection(self.server)

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Connection]:
        connection = await self.connect()
        try:
            yield connection
        finally:
            await connection.close()

    def distrust(self) -> None:
        pass

    async def problem(self) -> str | None:
        return None

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


def _meets(mapped: Mapped[Any], row: Row, conditions: Sequence[Any], parameters: Parameters) -> bool:
    """Whether the row meets conditions of the shape `column operator value` or `column IS NOT NULL`."""
    values = dict(zip(mapped.columns, row, strict=True))
    for condition in conditions:
        value, right, holds = values[condition.left.name], condition.right, condition.operator
        if value is None:
            return False
        if not (holds is is_not or holds(value, parameters.get(right.key, right.effective_value))):
            return False
    return True


def _typed(mapped: Mapped[Any], rows: str) -> list[dict[str, Any]]:
    """The rows of a JSON parameter, as their columns' types have them."""
    readers = {column.name: _READERS.get(type(column.type)) for column in mapped.table.columns}
    return [
        {
            name: value if value is None or (read := readers[name]) is None else read(value)
            for name, value in row.items()
        }
        for row in orjson.loads(rows)
    ]


_READERS: dict[type, Callable[[Any], Any]] = {Uuid: UUID, DateTime: datetime.fromisoformat, Numeric: Decimal}
