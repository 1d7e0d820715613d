"""PostgreSQL as the chassis's tests have it in memory, in virtual time and with faults: commits that fail or whose
answer is lost, sessions that end with their process, a server that is away, round trips during which others come
first."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from chassis.ports.errors import Unavailable
from chassis.testing import memory

from simulation.clock import OWNER, Mortal, VirtualLoop

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def as_datetime(at: int) -> datetime:
    return EPOCH + timedelta(microseconds=at)


def as_micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


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


class Server(memory.Server):
    """The database of one service."""

    def __init__(self, loop: VirtualLoop, dice: random.Random) -> None:
        super().__init__(lambda: as_datetime(loop.now))
        self.loop = loop
        self.dice = dice
        self.pause_chance = 0.0
        self.pause_seconds = 0.0
        self.away = False
        self._made: list[Lock] = []
        self.at_commit: Callable[[Connection], str] = lambda connection: ""
        """Which fault befalls the commit, if any."""
        self.committed: Callable[[Connection], None] = lambda connection: None
        self.die: Callable[[Mortal, str], None] = lambda owner, where: None

    def new_lock(self) -> Lock:
        lock = Lock(self)
        self._made.append(lock)
        return lock

    def forget(self, owner: Mortal) -> None:
        for lock in self._made:
            lock.forget(owner)

    async def pause(self) -> None:
        """A round trip to the server, during which others may come first."""
        if self.pause_chance and self.dice.random() < self.pause_chance:
            await asyncio.sleep(self.dice.randrange(1, 20) / 20 * self.pause_seconds)


class Connection(memory.Connection):
    """A session, and the transaction that it is in."""

    server: Server

    def __init__(self, server: Server, owner: Mortal, sessions: "list[Connection]") -> None:
        super().__init__(server)
        self.owner = owner
        self.taken: list[UUID] = []
        """Events that a use case was given in this transaction."""
        self._ended = False
        self._sessions = sessions
        sessions.append(self)

    async def execute(self, statement: Any, parameters: Mapping[str, Any] | None = None) -> memory.Result:
        await self.server.pause()
        self._check()
        result = await super().execute(statement, parameters)
        self._check()
        if not self.changed:
            self.server.committed(self)  # a pruning, or what else was a transaction of its own
        return result

    async def commit(self) -> None:
        await self.server.pause()
        self._check()
        fault = self.server.at_commit(self) if self.changed else ""
        if fault == "crash before commit":
            await self._die(fault)
        if fault == "commit fails":
            self.end()
            raise ConnectionResetError("the connection was lost before the commit")
        self.store()
        self.server.committed(self)
        if fault == "crash after commit":
            await self._die(fault)
        self.end()
        if fault == "commit answer lost":
            raise ConnectionResetError("the connection was lost during the commit")
        self._ended = False

    async def close(self) -> None:
        self.end()
        self.roll_back()  # a session that the server ended may have gone on, and locked rows, before it noticed

    async def invalidate(self) -> None:
        self.end()

    def end(self) -> None:
        """Rolls back what was not committed, and lets go of every lock."""
        if not self._ended:
            self._ended = True
            self.roll_back()
            if self in self._sessions:
                self._sessions.remove(self)

    async def _die(self, where: str) -> None:
        self.server.die(self.owner, where)
        await self.server.loop.create_future()

    def _check(self) -> None:
        if self._ended:
            raise ConnectionResetError("the session was ended")
        if self.server.away:
            self.end()
            raise ConnectionResetError("the database went away")


class Client(memory.MemoryDatabase):
    """One process's pool of connections."""

    server: Server

    def __init__(self, server: Server, owner: Mortal) -> None:
        super().__init__(server)
        self.sessions: list[Connection] = []
        self._owner = owner

    async def connect(self) -> Connection:
        if self.server.away:
            raise Unavailable("the database is away")
        return Connection(self.server, self._owner, self.sessions)

    def end_sessions(self) -> None:
        for session in list(self.sessions):
            session.end()
