"""Looks at the system once a second while a page is open, and not at all while none is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chassis.ports.errors import Unavailable

from application.figures import Reading
from application.ports import Feed, Operators, Services
from application.watching import Watching

COUNT_EVERY_SECONDS = 1.0
COUNTING_SHARE = 0.05
"""At most this part of the time goes into counting all orders, which takes the longer the more there are."""


class Looking:
    def __init__(self, watching: Watching, feed: Feed, services: Services, operators: Operators) -> None:
        self.watching = watching
        self._feed = feed
        self._services = services
        self._operators = operators
        self._pages = 0
        self._count_at = 0.0

    @contextmanager
    def page(self) -> Iterator[None]:
        """While it lasts, a page is open."""
        self._pages += 1
        self._feed.look()
        try:
            yield
        finally:
            self._pages -= 1

    async def turn(self) -> None:
        if not self._pages:
            return
        self._feed.look()
        replicas = await self._services.replicas()
        self.watching.turn(Reading(time.time(), replicas, dict(self._feed.waiting)))
        if (began := time.monotonic()) > self._count_at:
            try:
                self.watching.in_all = await self._operators.counts()
            except Unavailable:
                self.watching.in_all = None
            took = time.monotonic() - began
            self._count_at = began + max(COUNT_EVERY_SECONDS, took / COUNTING_SHARE)

    def picture(self) -> dict[str, Any]:
        self.watching.feed = self._feed.state
        return self.watching.picture(time.time())
