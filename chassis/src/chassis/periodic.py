"""Work that a service does by itself, every few seconds or when woken."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog
from chassis.database import Unavailable, is_conflict, is_outage, reason_of

log = structlog.get_logger()


class Periodic:
    """Runs `act` at once, then every `every_seconds` (and up to a tenth more, so that replicas spread out). A failure
    is logged, and the next turn tries again."""

    def __init__(self, name: str, every_seconds: float, act: Callable[[], Awaitable[object]]) -> None:
        self._name = name
        self._every_seconds = every_seconds
        self._act = act
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._stopping = False

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """Begins the next turn now, or right after the one under way."""
        self._woken.set()

    async def stop(self) -> None:
        """Lets the turn under way end."""
        self._stopping = True
        self.wake()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=10)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        failing = False
        while not self._stopping:
            self._woken.clear()
            try:
                await self._act()
                failing = False
            except Exception as error:
                if not (is_outage(error) or is_conflict(error)):
                    log.exception(f"{self._name} failed")
                elif not (failing or isinstance(error, Unavailable)):  # that was told where it was noticed
                    log.warning(f"{self._name}: not now", reason=reason_of(error))
                failing = True
            try:
                async with asyncio.timeout(self._every_seconds * random.uniform(1.0, 1.1)):
                    await self._woken.wait()
            except TimeoutError:
                pass
