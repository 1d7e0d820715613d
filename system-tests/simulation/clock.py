"""An event loop whose time moves only when it is told to, and in which a process can die or stand still.

The services' own asyncio code runs on it unchanged: tasks, locks, queues, sleeps and time-outs. Every callback belongs
to the process in whose context it was made; those of a dead process are never run again, which is what a crash is: no
`finally`, no `except`, nothing. Those of a frozen one wait until it goes on, as after a long pause of the machine.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
SECOND = 1_000_000


class Mortal(Protocol):
    """A process, as the loop sees it."""

    dead: bool
    frozen: bool


OWNER: ContextVar[Mortal | None] = ContextVar("process", default=None)


class VirtualLoop(asyncio.AbstractEventLoop):
    def __init__(self) -> None:
        self.now = 0
        self._ready: deque[tuple[Mortal | None, asyncio.Handle]] = deque()
        self._timers: list[tuple[int, int, Mortal | None, asyncio.TimerHandle]] = []
        self._parked: list[tuple[Mortal, asyncio.Handle]] = []
        self._parked_timers: list[tuple[Mortal, asyncio.Handle]] = []
        self._timers_made = 0

    def time(self) -> float:
        return self.now / SECOND

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody awaited any more, mostly because its process has died."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # newer versions of Python pass more, which means nothing here
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: object,
    ) -> asyncio.Task[T]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        context = context or copy_context()
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append((context.get(OWNER), handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = context or copy_context()
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_made += 1
        heapq.heappush(
            self._timers, (max(self.now, round(when * SECOND)), self._timers_made, context.get(OWNER), handle)
        )
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Its entry is skipped when it comes up."""

    def start(self, owner: Mortal, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of that process."""
        context = copy_context()
        context.run(OWNER.set, owner)
        return self.create_task(coro, context=context)

    def next_timer(self) -> int | None:
        while self._timers:
            due, _, owner, handle = self._timers[0]
            if not handle.cancelled() and not (owner is not None and owner.dead):
                return due
            heapq.heappop(self._timers)
        return None

    def run(self) -> None:
        """Runs all that can be run now, timers that are due included."""
        asyncio._set_running_loop(self)
        try:
            self._run_ready()
            while (due := self.next_timer()) is not None and due <= self.now:
                _, _, owner, handle = heapq.heappop(self._timers)
                if owner is not None and owner.frozen:
                    self._parked_timers.append((owner, handle))
                else:
                    self._ready.append((owner, handle))
                    self._run_ready()
        finally:
            asyncio._set_running_loop(None)

    def thaw(self, owner: Mortal) -> None:
        """Lets the process go on: what reached it meanwhile comes first, then its timers, as in a real loop."""
        owner.frozen = False
        for parked in (self._parked, self._parked_timers):
            self._ready.extend(one for one in parked if one[0] is owner)
            parked[:] = [one for one in parked if one[0] is not owner]
            self.run()

    def _run_ready(self) -> None:
        while self._ready:
            owner, handle = self._ready.popleft()
            if handle.cancelled() or (owner is not None and owner.dead):
                continue
            if owner is not None and owner.frozen:
                self._parked.append((owner, handle))
                continue
            handle._run()
