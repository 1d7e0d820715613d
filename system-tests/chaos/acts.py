"""Does what the plan says, and undoes it when its time is over."""

import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aio_pika
import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx

import way
from bus import Management, bus
from chaos import plan
from chaos.plan import Act
from chaos.poison import Poison, poisons, send
from chaos.stage import Stage
from system import management_url

_DELAY_SECONDS = 0.15
"""What a slow link takes for each piece of up to 64 KiB, in each direction."""
_LOCK_WAIT = "20s"
# A server that an act needs may be away by another act: then there is nothing to do. InternalClientError is what
# asyncpg raises for a session that the server ended between two statements.
_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_AGAIN_SECONDS = 0.5
_PATIENCE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Fault:
    """An act as it was: a server takes its time to stop and to start."""

    act: Act
    began: float
    """By time.monotonic(), as is `ended`."""
    ended: float


class Acts:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._system = stage.system
        self._database_url = stage.system.database_url.replace("+asyncpg", "")
        self._in_turn: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.faults: list[Fault] = []
        self.stops_too_long = 0
        self.poison: list[Poison] = []
        """What the broker has confirmed, since its disk was wiped for the last time."""
        self._wipes = 0
        self._fault_of: dict[str, Callable[[Act], Awaitable[None]]] = {
            plan.KILL: self._kill,
            plan.STOP: self._stop,
            plan.PAUSE: self._pause,
            plan.KILL_SERVER: self._kill_server,
            plan.WIPE: self._wipe,
            plan.STOP_SERVER: self._stop_server,
            plan.CUT: self._cut,
            plan.REFUSE: self._refuse,
            plan.SILENCE: self._silence,
            plan.SLOW: self._slow,
            plan.LOCK: self._lock,
            plan.END_SESSIONS: self._end_sessions,
            plan.CLOSE_CONNECTIONS: self._close_connections,
            plan.POISON: self._poison,
        }

    async def play(self, acts: Sequence[Act], say: Callable[[str], None]) -> None:
        """Returns when all acts are over and all is put right again."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for act in acts:
                await asyncio.sleep(began + act.at_seconds - time.monotonic())
                say(str(act))
                group.create_task(self._do(act))

    async def _do(self, act: Act) -> None:
        async with self._in_turn[act.target]:
            began = time.monotonic()
            await self._fault_of[act.kind](act)
            self.faults.append(Fault(act, began, time.monotonic()))

    async def _kill(self, act: Act) -> None:
        await self._stage.service(act.target).end(signal.SIGKILL)
        await asyncio.sleep(act.seconds)
        self._system.start(act.target)

    async def _stop(self, act: Act) -> None:
        try:
            await self._stage.service(act.target).end(signal.SIGTERM)
        except TimeoutError:  # it was killed then, as an orchestrator would
            self.stops_too_long += 1
        await asyncio.sleep(act.seconds)
        self._system.start(act.target)

    async def _pause(self, act: Act) -> None:
        os.kill(self._stage.service(act.target).pid, signal.SIGSTOP)
        await asyncio.sleep(act.seconds)
        os.kill(self._stage.service(act.target).pid, signal.SIGCONT)

    async def _kill_server(self, act: Act) -> None:
        await self._stage.pair.kill(act.target)
        await asyncio.sleep(act.seconds)
        await self._stage.pair.start(act.target)

    async def _wipe(self, act: Act) -> None:
        """The broker comes back with nothing but its settings, as on a new machine. Its vhost, which only tests need,
        is made for it; queues and bindings are the services' to declare, in production the deploy step's."""
        await self._stage.pair.kill(act.target)
        self._stage.pair.wipe_broker()
        self._wipes += 1
        self.poison.clear()
        await asyncio.sleep(act.seconds)
        await self._stage.pair.start(act.target)
        async with httpx.AsyncClient(base_url=management_url(), timeout=30) as client:
            answer = await client.put(f"/api/vhosts/{self._system.vhost}")
            assert answer.status_code == 201, f"the broker has kept its vhost: {answer.status_code}"
        if way.SECURE:
            await way.impersonate()

    async def _stop_server(self, act: Act) -> None:
        await self._stage.pair.stop(act.target)
        await asyncio.sleep(act.seconds)
        await self._stage.pair.start(act.target)

    async def _cut(self, act: Act) -> None:
        await self._stage.links[act.target].cut()

    async def _refuse(self, act: Act) -> None:
        link = self._stage.links[act.target]
        await link.take_away()
        await asyncio.sleep(act.seconds)
        link.restore()

    async def _silence(self, act: Act) -> None:
        link = self._stage.links[act.target]
        link.silence()
        await asyncio.sleep(act.seconds)
        link.restore()

    async def _slow(self, act: Act) -> None:
        link = self._stage.links[act.target]
        link.delay_seconds = _DELAY_SECONDS
        await asyncio.sleep(act.seconds)
        link.delay_seconds = 0.0

    async def _lock(self, act: Act) -> None:
        """Every statement on the table waits, until the pools of its service are full of those that do. The lock ends
        with its session: a COMMIT would meet a confused client where the server was killed meanwhile."""
        with suppress(*_AWAY):
            async with self._database() as database:
                await database.execute(
                    f"BEGIN; SET LOCAL lock_timeout = '{_LOCK_WAIT}'; LOCK TABLE {act.target} IN ACCESS EXCLUSIVE MODE"
                )
                await asyncio.sleep(act.seconds)

    async def _end_sessions(self, act: Act) -> None:
        with suppress(*_AWAY):
            async with self._database() as database:
                query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ($1, $1 || '_a')"
                await database.fetch(query, act.target)

    async def _close_connections(self, act: Act) -> None:
        async with httpx.AsyncClient(base_url=management_url(), timeout=10) as client:
            with suppress(httpx.HTTPError):
                await Management(client, self._system.vhost).close_connections()

    async def _poison(self, act: Act) -> None:
        for poison in poisons(act.target, act.number):
            while True:
                wipes = self._wipes
                await self._send(poison)
                if wipes == self._wipes:
                    self.poison.append(poison)
                    break

    async def _send(self, poison: Poison) -> None:
        """Once the broker is there; another act may have taken it away."""
        gives_up = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                async with asyncio.timeout(10), bus(self._system.rabbitmq_url) as channel:
                    return await send(channel, poison)
            except (OSError, aio_pika.exceptions.AMQPError, RuntimeError):
                if time.monotonic() > gives_up:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._database_url, timeout=10)
        try:
            yield connection
        finally:
            connection.terminate()
