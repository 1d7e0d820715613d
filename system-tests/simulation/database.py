"""PostgreSQL, as far as a service can tell: one database that all processes of the service share, with transactions,
row locks, commits whose answer is lost, and sessions that end with their process.

The chassis's own statements (inbox, outbox, idempotency keys, the sweeper's lock) are carried out here, told apart by
their identity; the service's tables are its own fakes, which pass the suite of the real repositories. Isolation is READ
COMMITTED, as there: a row is read once it is locked, and a row that is not there can be neither seen nor locked.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from chassis.postgres import idempotency, inbox, outbox, unit_of_work
from chassis.ports.errors import Unavailable

from simulation.clock import OWNER, SECOND, Mortal, VirtualLoop

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def as_datetime(at: int) -> datetime:
    return EPOCH + timedelta(microseconds=at)


def as_micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


class Tables(Protocol):
    """A service's own tables as one transaction sees them."""

    @property
    def changed(self) -> bool: ...

    def commit(self) -> None: ...

    def close(self) -> None: ...


class Store(Protocol):
    """A service's own tables (tests/simulated.py in its folder)."""

    def begin(self, now: datetime) -> Tables: ...

    def statuses(self) -> dict[UUID, str]:
        """The status of each order, hold or payment, by order id."""

    def rows(self) -> list[dict[str, Any]]: ...

    def due(self) -> dict[str, datetime]:
        """When each of the service's jobs would find something to do, of those that would."""

    def prune(self, statement: object, now: datetime) -> bool:
        """Carries out a statement of the service's own pruning; False if it is none."""


class OutboxRow(NamedTuple):
    id: UUID
    type: str
    routing_key: str
    order_id: str
    body: str
    created_at: int


class KeyRow(NamedTuple):
    caller: str
    key: str
    request_fingerprint: bytes
    resource_id: UUID
    created_at: int


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


class Lock:
    """The lock on one row: waiters get it in their order, and a dead process neither keeps it nor stands in the way."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._owner: Mortal | None = None
        self._waiters: deque[tuple[Mortal | None, asyncio.Future[None]]] = deque()

    def locked(self) -> bool:
        return self._owner is not None

    async def acquire(self) -> bool:
        owner = OWNER.get()
        if self._owner is None:
            self._owner = owner
        else:
            future: asyncio.Future[None] = self._server.loop.create_future()
            self._waiters.append((owner, future))
            try:
                await future
            except BaseException:
                if future.done() and not future.cancelled():  # it was handed over, to somebody who is cancelled by now
                    self.release()
                raise
        return True

    def release(self) -> None:
        self._owner = None
        while self._waiters and self._owner is None:
            owner, future = self._waiters.popleft()
            if not (future.done() or (owner is not None and owner.dead)):
                self._owner = owner
                future.set_result(None)

    def forget(self, owner: Mortal) -> None:
        """The process has died, perhaps after the lock was handed to it and before it knew."""
        if self._owner is owner:
            self.release()


class Server:
    """The database of one service: what is durable."""

    def __init__(self, loop: VirtualLoop, service: str, dice: random.Random) -> None:
        self.loop = loop
        self.service = service
        self.dice = dice
        self.pause_chance = 0.0
        self.pause_seconds = 0.0
        self.away = False
        self.tables: Store
        self.inbox: dict[tuple[str, UUID], int] = {}
        self.outbox: dict[UUID, OutboxRow] = {}
        self.keys: dict[tuple[str, str], KeyRow] = {}
        self.sweeper: Connection | None = None
        self._locks: list[Lock] = []
        self._key_locks: dict[object, Lock] = {}
        self.at_commit: Callable[[Connection], str] = lambda connection: ""
        """Which fault befalls the commit, if any."""
        self.committed: Callable[[Connection], None] = lambda connection: None
        self.die: Callable[[Mortal, str], None] = lambda owner, where: None

    def new_lock(self) -> Any:
        lock = Lock(self)
        self._locks.append(lock)
        return lock

    def key_lock(self, key: object) -> Lock:
        """The lock on a unique value that may not be there yet: inserting it waits for whoever inserts it already."""
        if key not in self._key_locks:
            self._key_locks[key] = self.new_lock()
        return self._key_locks[key]

    def forget(self, owner: Mortal) -> None:
        for lock in self._locks:
            lock.forget(owner)

    async def pause(self) -> None:
        """A round trip to the server, during which others may come first."""
        if self.pause_chance and self.dice.random() < self.pause_chance:
            await asyncio.sleep(self.dice.randrange(1, 20) / 20 * self.pause_seconds)


class Connection:
    """A session, and the transaction that it is in."""

    def __init__(self, server: Server, owner: Mortal, sessions: "list[Connection]") -> None:
        self.server = server
        self.owner = owner
        self.now_at = server.loop.now
        self.now = as_datetime(server.loop.now)
        self.tables = server.tables.begin(self.now)
        self.taken: list[UUID] = []
        """Events that a use case was given in this transaction."""
        self.inbox: dict[tuple[str, UUID], int] = {}
        self.outbox: dict[UUID, OutboxRow] = {}
        self.keys: dict[tuple[str, str], KeyRow] = {}
        self._locks: list[Lock] = []
        self._ended = False
        self._sessions = sessions
        sessions.append(self)

    async def execute(self, statement: object, parameters: Mapping[str, Any] | None = None) -> Result:
        self._check()
        act = _STATEMENTS.get(statement)
        if act is not None:
            return await act(self, parameters or {})
        if self.server.tables.prune(statement, as_datetime(self.server.loop.now)):
            self.server.committed(self)
            return Result()
        raise NotImplementedError(f"the simulated database does not know: {statement}")

    async def commit(self) -> None:
        await self.server.pause()
        self._check()
        fault = self.server.at_commit(self) if self.changed else ""
        if fault == "crash before commit":
            await self._die(fault)
        if fault == "commit fails":
            self.end()
            raise ConnectionResetError("the connection was lost before the commit")
        self.server.inbox |= self.inbox
        self.server.outbox |= {key: row for key, row in self.outbox.items() if key not in self.server.outbox}
        self.server.keys |= self.keys
        self.tables.commit()
        self.server.committed(self)
        if fault == "crash after commit":
            await self._die(fault)
        self.end()
        if fault == "commit answer lost":
            raise ConnectionResetError("the connection was lost during the commit")
        self._ended = False

    async def close(self) -> None:
        self.end()
        self._let_go()  # a session that the server ended may have gone on, and locked rows, before it noticed

    async def invalidate(self) -> None:
        self.end()

    def end(self) -> None:
        """Rolls back what was not committed, and lets go of every lock."""
        if not self._ended:
            self._ended = True
            self._let_go()
            if self.server.sweeper is self:
                self.server.sweeper = None
            if self in self._sessions:
                self._sessions.remove(self)

    def _let_go(self) -> None:
        self.tables.close()
        for lock in self._locks:
            lock.release()
        self._locks.clear()

    @property
    def changed(self) -> bool:
        return bool(self.inbox or self.outbox or self.keys or self.tables.changed)

    async def _die(self, where: str) -> None:
        self.server.die(self.owner, where)
        await self.server.loop.create_future()

    def _check(self) -> None:
        if self._ended:
            raise ConnectionResetError("the session was ended")
        if self.server.away:
            self.end()
            raise ConnectionResetError("the database went away")

    async def _lock_key(self, key: object) -> None:
        lock = self.server.key_lock(key)
        if lock not in self._locks:
            await lock.acquire()
            self._locks.append(lock)

    async def _now(self, _: Mapping[str, Any]) -> Result:
        await self.server.pause()
        return Result([(self.now,)])

    async def _take_in(self, parameters: Mapping[str, Any]) -> Result:
        fresh = []
        for event_id in sorted(parameters["ids"]):
            key = (parameters["consumer"], event_id)
            if key not in self.server.inbox:
                await self._lock_key(key)
            if key not in self.server.inbox and key not in self.inbox:
                self.inbox[key] = self.now_at
                fresh.append(event_id)
        await self.server.pause()
        return Result([(self.now, fresh)])

    async def _prune_inbox(self, parameters: Mapping[str, Any]) -> Result:
        before = self.server.loop.now - parameters["days"] * 86_400 * SECOND
        old = [key for key, at in self.server.inbox.items() if at < before]
        for key in old:
            del self.server.inbox[key]
        return Result(rowcount=len(old))

    async def _fill_outbox(self, parameters: Mapping[str, Sequence[Any]]) -> Result:
        columns = ("ids", "types", "keys", "order_ids", "bodies")
        for row in zip(*(parameters[column] for column in columns), strict=True):
            self.outbox.setdefault(row[0], OutboxRow._make((*row, self.now_at)))
        return Result()

    async def _empty_outbox(self, parameters: Mapping[str, Any]) -> Result:
        for event_id in parameters["ids"]:
            self.server.outbox.pop(event_id, None)
        return Result()

    async def _left_behind(self, parameters: Mapping[str, Any]) -> Result:
        before = self.server.loop.now - parameters["age"] * SECOND
        rows = [row for row in self.server.outbox.values() if row.created_at < before and row.id > parameters["after"]]
        return Result(sorted(rows)[:1000])

    async def _backlog(self, _: Mapping[str, Any]) -> Result:
        ages = [(self.server.loop.now - row.created_at) / SECOND for row in self.server.outbox.values()]
        return Result([(len(ages), max(ages, default=0))])

    async def _try_lock(self, _: Mapping[str, Any]) -> Result:
        if self.server.sweeper is None:
            self.server.sweeper = self
        return Result([(self.server.sweeper is self,)])

    async def _unlock(self, _: Mapping[str, Any]) -> Result:
        if self.server.sweeper is self:
            self.server.sweeper = None
        return Result()

    async def _claim(self, parameters: Mapping[str, Sequence[Any]]) -> Result:
        columns = ("callers", "keys", "fingerprints", "resources")
        for row in sorted(zip(*(parameters[column] for column in columns), strict=True)):
            key = row[:2]
            await self._lock_key(key)
            known = self.server.keys.get(key)
            if known is None or known.created_at < self.now_at - int(parameters["hours"]) * 3600 * SECOND:  # type: ignore[call-overload]
                self.keys.setdefault(key, KeyRow._make((*row, self.now_at)))
        return Result()

    async def _owners(self, parameters: Mapping[str, Any]) -> Result:
        keys = zip(parameters["callers"], parameters["keys"], strict=True)
        return Result((self.keys.get(key) or self.server.keys[key])[:4] for key in keys)

    async def _prune_keys(self, parameters: Mapping[str, Any]) -> Result:
        before = self.server.loop.now - parameters["hours"] * 3600 * SECOND
        self.server.keys = {key: row for key, row in self.server.keys.items() if row.created_at >= before}
        return Result()


_STATEMENTS: dict[object, Callable[[Connection, Mapping[str, Any]], Awaitable[Result]]] = {
    unit_of_work._NOW: Connection._now,
    inbox._TAKE_IN: Connection._take_in,
    inbox._PRUNE: Connection._prune_inbox,
    outbox._INSERT: Connection._fill_outbox,
    outbox._DELETE: Connection._empty_outbox,
    outbox._LEFT_BEHIND: Connection._left_behind,
    outbox._BACKLOG: Connection._backlog,
    outbox._TRY_LOCK: Connection._try_lock,
    outbox._UNLOCK: Connection._unlock,
    idempotency._CLAIM: Connection._claim,
    idempotency._OWNERS: Connection._owners,
    idempotency._PRUNE: Connection._prune_keys,
}


class Client:
    """One process's pool of connections: what stands in for chassis.database.Database."""

    def __init__(self, server: Server, owner: Mortal) -> None:
        self.schema = server.service
        self.sessions: list[Connection] = []
        self._server = server
        self._owner = owner

    async def connect(self) -> Connection:
        return self._open()

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Connection]:
        connection = self._open()
        try:
            yield connection
        finally:
            await connection.close()

    def _open(self) -> Connection:
        if self._server.away:
            raise Unavailable("the database is away")
        return Connection(self._server, self._owner, self.sessions)

    def distrust(self) -> None:
        """After a statement without an answer. Here every session is ended by what ended the first."""

    def end_sessions(self) -> None:
        for session in list(self.sessions):
            session.end()
