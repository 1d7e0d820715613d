"""One process of a service, composed as its main.py composes it, and the worker's small world around it."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from chassis.ports.errors import Unavailable
from chassis.ports.events import Received
from chassis.postgres import inbox

from simulation import database
from simulation.clock import SECOND, VirtualLoop
from simulation.link import Calls, Link, Till
from simulation.services import Simulated
from simulation.wire import Answered, Broken, Committed, Crashed, Effect, Lost, Message, Struck, Told

INBOX_KEEPS = inbox.KEPT_DAYS * 86_400 * SECOND


class World:
    """All that exists of one service in one run."""

    def __init__(self, service: Simulated, seed: int, settings: Mapping[str, Any]) -> None:
        self.service = service
        self.settings = settings
        self.effects: list[Effect] = []
        self.loop = VirtualLoop()  # type: ignore[abstract]  # no sockets, signals or processes in there
        self.dice = random.Random(f"{seed}:{service.name}")
        self.calls = Calls(self.loop, self.effects)
        self.server = database.Server(self.loop, self.dice)
        self.server.at_commit = self._at_commit
        self.server.committed = self._committed
        self.server.die = lambda owner, where: self.crash(cast(Process, owner), where)
        self.processes: dict[int, Process] = {}
        self._commits = 0
        self._batches = 0
        self._commit_faults: dict[int, str] = {}
        self._handler_faults: set[int] = set()
        self._statuses: dict[UUID, str] = {}
        self._taken: dict[UUID, int] = {}

    def told(self, customer: UUID, subject: str) -> None:
        self.effects.append(Told(str(customer), subject))

    def arm(self, commit_faults: Sequence[tuple[int, str]], handler_faults: Sequence[int]) -> None:
        self._commits = self._batches = 0
        self._commit_faults = dict(commit_faults)
        self._handler_faults = set(handler_faults)
        self.server.pause_chance = self.settings["pause_chance"]
        self.server.pause_seconds = self.settings["pause_seconds"]

    def calm(self) -> None:
        """From now on nothing goes wrong by itself."""
        self._commit_faults.clear()
        self._handler_faults.clear()
        self.server.pause_chance = 0.0
        self.server.away = False

    def crash(self, process: "Process", where: str) -> None:
        if not process.dead:
            process.die()
            self.effects.append(Crashed(process.replica, where))

    def handler_fails(self, replica: int) -> bool:
        self._batches += 1
        if self._batches not in self._handler_faults:
            return False
        self.effects.append(Struck(replica, "handler fails"))
        return True

    def took(self, events: Sequence[UUID]) -> None:
        """The inbox's promise: no event takes effect twice, for as long as it is kept."""
        for event_id in events:
            if self.loop.now - self._taken.get(event_id, -INBOX_KEEPS) < INBOX_KEEPS:
                self.effects.append(
                    Broken("taken in twice", f"{self.service.name} let the event {event_id} take effect twice.")
                )
            self._taken[event_id] = self.loop.now

    def _at_commit(self, connection: database.Connection) -> str:
        self._commits += 1
        fault = self._commit_faults.get(self._commits, "")
        if fault:
            self.effects.append(Struck(cast(Process, connection.owner).replica, fault))
        return fault

    def _committed(self, connection: database.Connection) -> None:
        self.took(connection.taken)
        before, self._statuses = (
            self._statuses,
            {key: str(status) for key, status in self.service.statuses(self.server).items()},
        )
        changes = [
            (str(order_id), before.get(order_id, ""), self._statuses.get(order_id, ""))
            for order_id in sorted(before.keys() | self._statuses.keys())
            if before.get(order_id) != self._statuses.get(order_id)
        ]
        events = tuple(str(event_id) for event_id in connection.outbox)
        if events or changes or connection.taken:
            replica = cast(Process, connection.owner).replica
            taken = tuple(str(event_id) for event_id in connection.taken)
            self.effects.append(Committed(replica, events, tuple(changes), taken))


class Process:
    def __init__(self, world: World, replica: int) -> None:
        self.dead = False
        self.frozen = False
        self.replica = replica
        self.frozen_for = 0
        self._world = world
        self._running: set[str] = set()
        self.client = database.Client(world.server, self)
        self.link = Link(world.calls, self, replica)
        self._composed = world.service.compose(self.client, self.link, Till(world.calls, replica), world)
        self._consumer = self._composed.consumer
        self._handle_events = self._consumer.use_case
        self._consumer.use_case = self._consume

    async def _consume(self, events: Sequence[Received], unit: Any) -> None:
        if self._world.handler_fails(self.replica):
            raise RuntimeError("a mistake that another attempt cures")
        if isinstance(connection := getattr(unit, "connection", None), database.Connection):
            connection.taken += [event.id for event in events]
            await self._handle_events(events, unit)
        else:  # without a database, what is done is done
            await self._handle_events(events, unit)
            taken = tuple(str(event.id) for event in events)
            self._world.effects.append(Committed(self.replica, (), (), taken))

    def start(self, coro: Any) -> None:
        self._world.loop.start(self, coro)

    def connect(self) -> None:
        self.start(self._connect())

    async def _connect(self) -> None:
        await self.link.connect()
        if self._world.service.publishes:
            await self._run("outbox sweep", self._composed.jobs["outbox sweep"])

    def disconnect(self) -> None:
        self.link.break_off()
        self.start(self._consumer.detach())

    def deliver(self, messages: list[Message]) -> None:
        self.link.deliver(messages)

    def request(self, number: int, name: str, arguments: Sequence[Any]) -> None:
        self.start(self._answer(number, name, arguments))

    async def _answer(self, number: int, name: str, arguments: Sequence[Any]) -> None:
        try:
            outcome = ("ok", await self._composed.requests[name](*arguments))
        except Exception as error:
            outcome = (type(error).__name__.lower(), str(error))
        self._world.effects.append(Answered(number, *outcome))

    def job(self, name: str) -> None:
        """A periodic job's turn; it is left out while the one before is still under way."""
        self.start(self._run(name, self._prune if name == "pruning" else self._composed.jobs[name]))

    async def _run(self, name: str, act: Callable[[], Awaitable[object]]) -> None:
        if name in self._running:
            return
        self._running.add(name)
        try:
            await act()
        except Exception as error:
            if not isinstance(error, OSError | Unavailable):
                self._world.effects.append(
                    Broken("a job failed", f"{self._world.service.name}: {name} failed: {error!r}.")
                )
        finally:
            self._running.discard(name)

    async def _prune(self) -> None:
        for name, act in self._composed.jobs.items():
            if name.startswith("pruning"):
                await act()

    def stop(self) -> None:
        self.start(self._stop())

    async def _stop(self) -> None:
        """As the application does when it is told to end: in the reverse order of its parts."""
        for part in (self._consumer, *self._composed.parts):
            await part.stop()
        self._world.crash(self, "stopped")

    def die(self) -> None:
        self.dead = True
        self.link.break_off()
        self.client.end_sessions()
        self._world.server.forget(self)

    def has_lost_its_consumer(self) -> bool:
        """The connection's own watch would see it within seconds."""
        return not (self.dead or self.frozen) and self.link.connected and bool(self._consumer.has_ended)

    def report_if_lost(self) -> None:
        if self.has_lost_its_consumer():
            self._world.effects.append(Lost(self.replica))
