"""The errors that adapters raise in place of their libraries' own, and what to make of those that nobody foresaw."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

log = structlog.get_logger()


class Unavailable(Exception):
    """Something that this service needs is away or overloaded for now. The message is fit for the caller to read."""


class Interrupted(Exception):
    """A server gave up the work at hand through no fault of the work: another attempt can succeed."""


class Conflict(Exception):
    """The transaction lost to a concurrent one: it did nothing, and can be run again at once."""


class Rejected(Exception):
    """Raised by a use case for an event that no later attempt can cure: it goes to the dead letters at once.

    `reason` is a slug listed in docs/events.md.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def is_outage(error: BaseException) -> bool:
    """Whether the work could not be done for now, through no fault of its own."""
    return isinstance(error, Unavailable | Interrupted | TimeoutError | OSError)


def reason_of(error: BaseException) -> str:
    """One line for a log or a health check, without SQL and parameters."""
    error = getattr(error, "orig", None) or error  # SQLAlchemy keeps the driver's error there, without the statement
    text = str(error) if isinstance(error, Interrupted | Conflict) else f"{type(error).__name__}: {error}"
    return text.partition("\n")[0][:300]


@contextmanager
def abandoned_is_unavailable() -> Iterator[None]:
    """Turns a library's own CancelledError into Unavailable. Libraries cancel the futures of those who wait for an
    answer when they give a connection up; the waiting task, which may be the only one that does its work, must survive
    such a cancellation."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable("the connection was given up before an answer came") from None


@contextmanager
def survived(name: str) -> Iterator[None]:
    """Guards one round of a loop that must go on: an error ends the round and is logged, also the CancelledError of a
    future that a library cancelled. Only what ends the process, or this very task, gets through."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        with suppress(Exception):  # a failure to log must not end the loop either
            log.exception(f"{name} failed")
