"""The errors that adapters raise in place of their libraries' own, and how to treat unexpected errors."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

log = structlog.get_logger()


class Unavailable(Exception):
    """Something that this service needs is away or overloaded. Callers may read the message."""


class Interrupted(Exception):
    """A server gave up through no fault of the statement: another attempt can succeed."""


class Conflict(Exception):
    """The transaction lost to a concurrent one: it changed nothing and can be run again at once."""


class Rejected(Exception):
    """Refuses an event for good: it becomes a dead letter at once. `reason` is a slug listed in docs/events.md."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def is_outage(error: BaseException) -> bool:
    """Whether the same work can succeed once something else is back."""
    return isinstance(error, Unavailable | Interrupted | TimeoutError | OSError)


def reason_of(error: BaseException) -> str:
    """One line for a log or a health check, without SQL and parameters."""
    error = getattr(error, "orig", None) or error  # the driver's error, which SQLAlchemy wraps with the statement
    text = str(error) if isinstance(error, Interrupted | Conflict) else f"{type(error).__name__}: {error}"
    return text.partition("\n")[0][:300]


@contextmanager
def abandoned_is_unavailable() -> Iterator[None]:
    """Turns a CancelledError that comes from a library into Unavailable. A library that gives up a connection cancels
    the futures of the tasks that wait for an answer, and these tasks must survive."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable("the connection was given up before an answer came") from None


@contextmanager
def survived(name: str) -> Iterator[None]:
    """Guards one round of a loop that must go on: logs any error, even a CancelledError that comes from a library.
    Only the end of the process or of this task gets through."""
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
