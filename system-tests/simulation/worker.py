"""The worker process: one service, in the interpreter of its own folder, at the driver's command.

python -m simulation.worker <service folder> <mutation, or "">
"""

import gc
import importlib
import logging
import os
import random
import sys
import warnings
from pathlib import Path
from typing import Any
from uuid import UUID

from simulation.wire import SECOND, Command, Message, Pipe, Reply


class Ids:
    """UUIDs of version 7 as the run's dice and clock have them, in place of the machine's."""

    def __init__(self) -> None:
        self.world: Any = None

    def uuid7(self) -> UUID:
        milliseconds = 1_767_225_600_000 + self.world.loop.now // 1000  # the year 2026, and the run's time
        dice: random.Random = self.world.dice
        return UUID(
            int=milliseconds << 80 | 7 << 76 | dice.getrandbits(12) << 64 | 2 << 62 | dice.getrandbits(62), version=None
        )


class Worker:
    def __init__(self, service: Any, ids: Ids) -> None:
        self._service = service
        self._ids = ids
        self._world: Any = None

    def carry_out(self, command: Command) -> Reply:
        value = None
        if command.name == "reset":
            self._reset(*command.arguments)
        else:
            self._world.loop.now = command.at
            value = getattr(self, f"_{command.name}")(*command.arguments)
            self._world.loop.run()
        world = self._world
        for process in world.processes.values():
            process.report_if_lost()
        from simulation.database import as_micros

        due = {name: as_micros(at) for name, at in self._service.due(world.server).items()}
        if world.server.outbox:
            due["outbox sweep"] = as_micros(min(row.created_at for row in world.server.outbox.values())) + 5 * SECOND
        effects = tuple(world.effects)
        world.effects.clear()
        return Reply(effects, world.loop.next_timer(), tuple(sorted(due.items())), value)

    def _reset(self, seed: int, settings: dict[str, Any]) -> None:
        from simulation.process import World

        self._world = None
        gc.collect()
        random.seed(seed)  # the chassis's own jitter
        self._world = World(self._service, seed, settings)
        self._ids.world = self._world

    def _start(self, replica: int) -> None:
        from simulation.process import Process

        process = self._world.processes[replica] = Process(self._world, replica)
        process.connect()
        if self._service.publishes:
            process.job("pruning")

    def _advance(self) -> None:
        """Timers are due."""

    def _deliver(self, replica: int, messages: list[tuple[Any, ...]]) -> None:
        self._world.processes[replica].deliver([Message(*message) for message in messages])

    def _answer(self, call: int, answer: str) -> None:
        self._world.calls.answer(call, answer)

    def _request(self, replica: int, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        self._world.processes[replica].request(number, name, arguments)

    def _job(self, replica: int, name: str) -> None:
        self._world.processes[replica].job(name)

    def _crash(self, replica: int, where: str) -> None:
        self._world.crash(self._world.processes[replica], where)

    def _stop(self, replica: int) -> None:
        self._world.processes[replica].stop()

    def _disconnect(self, replica: int) -> None:
        self._world.processes[replica].disconnect()

    def _connect(self, replica: int) -> None:
        self._world.processes[replica].connect()

    def _freeze(self, replica: int) -> None:
        self._world.processes[replica].frozen = True

    def _end_sessions(self, replica: int) -> None:
        """The server ends the transactions of a process that has not moved for half a minute."""
        process = self._world.processes[replica]
        if process.frozen:
            process.client.end_sessions()

    def _thaw(self, replica: int) -> None:
        self._world.loop.thaw(self._world.processes[replica])

    def _database(self, away: bool) -> None:
        self._world.server.away = away

    def _arm(self, commit_faults: list[tuple[int, str]], handler_faults: list[int]) -> None:
        """From now on, commits and batches are counted, and these of them go wrong."""
        self._world.arm(commit_faults, handler_faults)

    def _calm(self) -> None:
        self._world.calm()

    def _look(self) -> dict[str, Any]:
        """What is left when all is quiet."""
        server = self._world.server
        return {"rows": self._service.rows(server), "outbox": [row.type for row in server.outbox.values()]}


def main() -> None:
    folder, mutation = Path(sys.argv[1]), sys.argv[2]
    pipe = Pipe(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what anyone prints goes to the error stream
    sys.path.insert(0, str(folder))

    import structlog

    ids = Ids()
    chassis_ids = importlib.import_module("chassis.ports.ids")
    chassis_ids.uuid7 = ids.uuid7  # type: ignore[attr-defined]  # before anyone takes it by name
    service = importlib.import_module("simulation.services").load(folder.name)
    structlog.configure(  # in place of what the service's main.py has configured
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=True
    )
    if mutation:
        importlib.import_module("simulation.mutations").apply(mutation, service.name)
    worker = Worker(service, ids)
    # Of coroutines whose process died before they began; nothing else in a worker is left to the garbage collector.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited")
    sys.unraisablehook = lambda _: None
    gc.collect()
    gc.freeze()
    gc.disable()  # it runs between two runs, where it costs least
    while True:
        try:
            command = pipe.next_command()
        except EOFError:
            os._exit(0)  # without a look at the tasks of processes that died in the last run
        pipe.reply(worker.carry_out(command))


if __name__ == "__main__":
    main()
