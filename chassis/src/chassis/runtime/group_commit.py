"""Group commit: concurrent requests share a transaction."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from chassis.ports.errors import Conflict, Unavailable, abandoned_is_unavailable, is_outage, reason_of
from chassis.postgres.unit_of_work import UnitOfWork
from prometheus_client import Histogram

MAX_COMMANDS_A_BATCH = 200
MAX_CONFLICTS = 5

COMMAND_BATCH_SIZE = Histogram(
    "command_batch_size", "Commands that shared a transaction", ("command",), buckets=(1, 2, 5, 10, 20, 50, 100, 200)
)


C = TypeVar("C")
R = TypeVar("R")
U = TypeVar("U", bound=UnitOfWork)


class GroupCommit(Generic[C, R, U]):
    """Runs a use case on all commands that have come by `submit`; it returns a result or an exception for each.

    Commands that arrive while a batch is being committed form the next one; a lone command waits for nobody. This is
    PostgreSQL's group commit, one level up: https://www.postgresql.org/docs/17/wal-async-commit.html
    """

    def __init__(
        self,
        name: str,
        units: Callable[[], AbstractAsyncContextManager[U]],
        use_case: Callable[[Sequence[C], U], Awaitable[Sequence[R | Exception]]],
    ) -> None:
        self._name = name
        self._units = units
        self._use_case = use_case
        self._waiting: list[tuple[C, asyncio.Future[R]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def submit(self, command: C) -> R:
        """The command's result, once it is committed. Raises the exception that the use case returned for it, or
        Unavailable if the database is away; the command may have taken effect even so."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run(), name=self._name)
        return await future

    async def _run(self) -> None:
        while self._waiting:
            batch = self._waiting[:MAX_COMMANDS_A_BATCH]
            del self._waiting[:MAX_COMMANDS_A_BATCH]
            await self._answer(batch)

    async def _answer(self, batch: Sequence[tuple[C, asyncio.Future[R]]]) -> None:
        try:
            results = await self._results([command for command, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not is_outage(error):
                for single in batch:
                    await self._answer([single])
                return
            if is_outage(error) and not isinstance(error, Unavailable):
                error = Unavailable(f"the database did not answer: {reason_of(error)}")
            results = [error] * len(batch)
        COMMAND_BATCH_SIZE.labels(self._name).observe(len(batch))
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # its caller has gone
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _results(self, commands: Sequence[C]) -> Sequence[R | Exception]:
        for _ in range(MAX_CONFLICTS):
            try:
                with abandoned_is_unavailable():
                    return await self._attempt(commands)
            except Conflict:
                await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311 (spreads load, guards nothing)
        raise Unavailable("too many transactions want the same rows")

    async def _attempt(self, commands: Sequence[C]) -> Sequence[R | Exception]:
        async with self._units() as unit:
            unit.purpose = self._name
            await unit.start()
            results = await self._use_case(commands, unit)
            if len(results) != len(commands):
                raise ValueError(f"{self._name}: {len(results)} results for {len(commands)} commands")
            await unit.commit()
            return results
