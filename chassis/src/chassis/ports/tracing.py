"""Trace context (https://www.w3.org/TR/trace-context/), and the recorder of spans if there is one."""

import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from chassis.ports.events import Outgoing, Received

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_ODD = frozenset("13579bdf")


def new_traceparent() -> str:
    """Starts a trace, for a request or an event that came without one. Only a recorder sets its flag."""
    drawn = secrets.token_hex(24)
    return f"00-{drawn[:32]}-{drawn[32:]}-00"


def valid_traceparent(value: object) -> str | None:
    """The value if it is a traceparent of version 00, else None: the specification says to start a new trace."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def unsampled(traceparent: str) -> str:
    """The same place in the same trace, of which nothing is recorded."""
    return f"{traceparent[:-2]}00"


def is_sampled(traceparent: str) -> bool:
    return traceparent[-1:] in _ODD and valid_traceparent(traceparent) is not None


def trace_id(traceparent: str) -> str:
    return traceparent[3:35]


class RequestSpan(Protocol):
    @property
    def traceparent(self) -> str:
        """Its place in the trace, which everything that the request causes bears."""

    def end(self, method: str, route: str, status: int) -> None:
        """`status` is 0 if there was no answer."""


class Recorder(Protocol):
    """Records what happens to the sampled orders, and nothing of a batch without one. No method raises or waits."""

    def request(self, caller: str | None) -> RequestSpan | None:
        """Decides whether the request is sampled, and with it the order that it places; None if it isn't. `caller` is
        the traceparent that came with it: its trace goes on, its flag decides nothing."""

    def publishing(self, message: Sequence[Outgoing]) -> AbstractContextManager[None]: ...

    def processing(self, queue: str, events: Sequence[Received]) -> AbstractContextManager[None]: ...

    def transaction(self, purpose: str, began: int, traceparents: Iterable[str], error: BaseException | None) -> None:
        """Records a transaction that has just ended. `began` in nanoseconds since 1970, `traceparents` of the
        aggregates in it."""

    def calling(self, what: str, traceparent: str) -> AbstractContextManager[dict[str, str]]:
        """A call of another system. What the caller puts into the dictionary become the span's attributes; an
        `error.type` among them marks it as failed."""

    async def stop(self) -> None:
        """Exports what is left, within a few seconds."""


recorder: Recorder | None = None
"""Set once, before the service starts; None while nobody wants spans."""
