"""Work that a service does by itself, every few seconds or when woken."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from chassis.ports.errors import Conflict, Unavailable, is_outage, reason_of, survived

TURN_MAY_TAKE_SECONDS = 120.0
"""A turn that takes longer is cancelled."""
RETRY_WITHIN_SECONDS = 60.0
"""The longest wait after a turn that failed."""
LATE_AFTER_INTERVALS = 3
LATE_AFTER_SECONDS = 20.0
"""The minimum, because a turn of a job that runs every second may take several seconds."""

log = structlog.get_logger()


async def at_once() -> None:
    """Lets other tasks go on first."""
    await asyncio.sleep(0)


class Periodic:
    """Runs `act` at once, then every `every_seconds` and up to a tenth more, so that replicas spread out. If `act`
    returns True because there may be more to do, the next turn follows as soon as `after` returns."""

    def __init__(
        self,
        name: str,
        every_seconds: float,
        act: Callable[[], Awaitable[object]],
        *,
        after: Callable[[], Awaitable[None]] = at_once,
    ) -> None:
        self.name = name
        self.every_seconds = every_seconds
        self.act = act
        self._after = after
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._stopping = False
        self._failing = False
        self._began_at: float | None = None
        self._well_at = 0.0

    async def start(self) -> None:
        self._well_at = _now()
        self._task = asyncio.create_task(self._run(), name=self.name)

    def wake(self) -> None:
        """Begins the next turn now, or right after the present one."""
        self._woken.set()

    async def stop(self) -> None:
        """Lets the present turn end."""
        self._stopping = True
        self.wake()
        if self._task is not None:
            if self._began_at is not None:
                await asyncio.wait([self._task], timeout=10)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=5)

    async def problem(self) -> str | None:
        """Reports that no turn has succeeded for several intervals, or None."""
        if self._task is None:
            return f"{self.name}: not started"
        ago = _now() - self._well_at
        late = ago > max(LATE_AFTER_SECONDS, LATE_AFTER_INTERVALS * self.every_seconds)
        return f"{self.name}: no turn has ended well for {ago:.0f} s" if late else None

    async def lost(self) -> str | None:
        """Why no turn will ever begin again in this process, or None."""
        if self._task is not None and self._task.done():
            return f"{self.name}: its loop has ended"
        if self._began_at is not None and _now() - self._began_at > 2 * TURN_MAY_TAKE_SECONDS:
            return f"{self.name}: a turn does not end, though it was cancelled"
        return None

    async def _run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            with survived(self.name):
                if await self._turn() and not self._stopping:
                    await self._after()
                    continue
            with survived(self.name), suppress(TimeoutError):
                every_seconds = min(self.every_seconds, RETRY_WITHIN_SECONDS) if self._failing else self.every_seconds
                async with asyncio.timeout(every_seconds * random.uniform(1.0, 1.1)):  # noqa: S311 (spreads load, guards nothing)
                    await self._woken.wait()

    async def _turn(self) -> bool:
        """Whether there may be more to do."""
        self._began_at = _now()
        told, self._failing = self._failing, True
        try:
            async with asyncio.timeout(TURN_MAY_TAKE_SECONDS) as limit:
                more = await self.act() is True
            self._failing, self._well_at = False, _now()
            return more
        except Unavailable:
            self._well_at = _now()  # whatever is away has a health check of its own
        except Exception as error:
            if limit.expired() or not (is_outage(error) or isinstance(error, Conflict)):
                raise
            if not told:
                log.warning(f"{self.name}: not now", reason=reason_of(error))
        finally:
            self._began_at = None
        return False


def _now() -> float:
    return asyncio.get_running_loop().time()
