"""The events as they pass, while somebody looks at the page."""

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog
from aio_pika.exceptions import ChannelNotFoundEntity
from chassis.ports.errors import abandoned_is_unavailable, reason_of, survived

from application.figures import Waiting
from operations.following import Take, connected, follow, waiting

LOOKED_AT_FOR_SECONDS = 60.0
"""So long after the last page has gone, events are still followed: somebody may only have reloaded it."""
COUNT_EVERY_SECONDS = 1.0
RETRY_AFTER_SECONDS = 1.0

log = structlog.get_logger()


class EventFeed:
    """`take` gets the documents of each message."""

    def __init__(self, url: Callable[[], str], take: Take) -> None:
        self.state = "resting"
        self.waiting: dict[str, Waiting] = {}
        """What waits in each service's queues; empty while nobody can say."""
        self._url = url
        self._take = take
        self._until = 0.0
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="feed")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """Somebody looks; to be called again and again while that is so."""
        self._until = time.monotonic() + LOOKED_AT_FOR_SECONDS
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            with survived("the feed"):
                await self._follow()
            self.waiting = {}
            if time.monotonic() > self._until:
                self._wanted.clear()
                self.state = "resting"
            else:
                await asyncio.sleep(RETRY_AFTER_SECONDS)

    async def _follow(self) -> None:
        """Returns when nobody has looked for a while, or when anything is not as it should be."""
        try:
            with abandoned_is_unavailable():
                async with connected(self._url(), "console") as connection:
                    counting = await connection.channel()
                    self.waiting = _waiting(await waiting(counting))
                    await follow(await connection.channel(), self._take)
                    self.state = "following"
                    while time.monotonic() < self._until:
                        await asyncio.sleep(COUNT_EVERY_SECONDS)
                        self.waiting = _waiting(await waiting(counting))
        except ChannelNotFoundEntity:
            self.state = "no-queues"
        except Exception as error:
            if self.state != "away":
                log.warning("events can't be followed for now", reason=reason_of(error))
            self.state = "away"


def _waiting(counted: Mapping[str, tuple[int, int, int]]) -> dict[str, Waiting]:
    return {lane: Waiting(*counts) for lane, counts in counted.items()}
