"""The circuit breaker before the payment gateway: leaves a failing gateway alone, then tries it with few calls.

    closed -> open -> half open -> closed
                      half open -> open

It sets no timer and makes nobody wait: it is asked how many calls may begin, and looks at the clock.
"""

import random
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from math import inf

import structlog
from prometheus_client import Gauge

from domain.attempt import Answer, Reply

CALLS = 20
WITHIN_SECONDS = 10.0
"""It opens when half of the last CALLS have failed, if all of them have ended within this time."""
OPEN_SECONDS = 5.0
"""Doubled whenever it opens again without having closed, up to LONGEST_OPEN_SECONDS."""
LONGEST_OPEN_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
"""A gateway that asks for more time gets a single call then all the same."""
JITTER = 0.2
"""Replicas that opened together don't come back together: each adds up to this part of the time."""
CLOSES_AT = 8
"""Half open, it lets 1, 2, 4, ... calls be under way; when so many may be, it closes."""
FAILURES = {Answer.UNAVAILABLE, Answer.UNKNOWN}

STATE = Gauge("payment_breaker_state", "Circuit breaker before the gateway: 0 closed, 1 half open, 2 open")

log = structlog.get_logger()


class State(IntEnum):
    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """`clock` tells the seconds since any moment."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._state = State.CLOSED
        self._recent: deque[tuple[float, bool]] = deque(maxlen=CALLS)
        """When each of the last calls ended, and whether it failed."""
        self._open_seconds = OPEN_SECONDS
        self._open_until = 0.0
        self._era = 0
        """Rises with each half open state: calls begun before say nothing about the gateway as it is now."""
        self._most = inf
        """How many calls of this era may be under way; doubled whenever so many have succeeded, even when closed."""
        self._under_way = 0
        self._succeeded = 0

    @property
    def state(self) -> State:
        if self._state is State.OPEN and self.clock() >= self._open_until:
            self._era += 1
            self._most, self._under_way, self._succeeded = 1, 0, 0
            self._recent.clear()
            self._become(State.HALF_OPEN)
        return self._state

    @property
    def room(self) -> float:
        """The number of calls that may begin now."""
        return 0 if self.state is State.OPEN else self._most - self._under_way

    def begin(self) -> int:
        """Counts a call. Returns its era, for `end`."""
        self._under_way += 1
        return self._era

    def end(self, era: int, reply: Reply) -> None:
        """A failure that names a time opens the breaker for so long at once: the gateway asks that of the caller, not
        of the one payment (RFC 9110, 10.2.3; RFC 6585, 4)."""
        state, now, failed = self.state, self.clock(), reply.answer in FAILURES
        wait_seconds = min(reply.retry_after.total_seconds(), LONGEST_RETRY_AFTER_SECONDS)
        if state is State.OPEN:
            self._open_until = max(self._open_until, now + _with_jitter(wait_seconds))
        elif era == self._era:
            self._under_way -= 1
            self._recent.append((now, failed))
            if failed:
                self._note_failure(now, wait_seconds)
            else:
                self._note_success()

    def _note_failure(self, now: float, seconds: float) -> None:
        if self._half_have_failed(now):
            seconds = max(seconds, self._open_seconds)
            self._open_seconds = min(2 * self._open_seconds, LONGEST_OPEN_SECONDS)
        if seconds > 0:
            self._open_until = now + _with_jitter(seconds)
            self._become(State.OPEN, seconds=round(self._open_until - now, 1))

    def _half_have_failed(self, now: float) -> bool:
        """Of the last CALLS or, half open, of those made since then."""
        while self._recent[0][0] <= now - WITHIN_SECONDS:
            self._recent.popleft()
        are_enough = self._state is State.HALF_OPEN or len(self._recent) == CALLS
        return are_enough and 2 * sum(failed for _, failed in self._recent) >= len(self._recent)

    def _note_success(self) -> None:
        self._succeeded += 1
        if self._succeeded >= self._most:
            self._most, self._succeeded = 2 * self._most, 0
        if self._state is State.HALF_OPEN and self._most >= CLOSES_AT:
            self._open_seconds = OPEN_SECONDS
            self._become(State.CLOSED)

    def _become(self, state: State, **details: float) -> None:
        self._state = state
        STATE.set(state)
        (log.warning if state is State.OPEN else log.info)("gateway breaker", state=state.name.lower(), **details)


def _with_jitter(seconds: float) -> float:
    return seconds * random.uniform(1, 1 + JITTER)  # noqa: S311 (spreads load, guards nothing)
