"""Locks between several `make` in one clone. They end with the process that holds them, however it ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from console import say


def attempt(path: Path) -> IO[str] | None:
    """The lock, held until the file is closed; None when somebody else holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


@contextmanager
def hold(path: Path, doing: str) -> Iterator[None]:
    """Waits for the lock, and says so when that takes time."""
    handle = attempt(path)
    if handle is None:
        say(f"waiting for another `make` that is {doing}")
        handle = path.open("w")
        fcntl.flock(handle, fcntl.LOCK_EX)
    with handle:
        yield
