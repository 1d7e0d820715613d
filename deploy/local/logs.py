"""`make logs`: the services' logs as one stream, each line with its service's name, until Ctrl-C."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import docker
from console import Problem
from profiles import Profile

_COLOURS = (36, 33, 35, 32)
_LINES_OF_THE_PAST = 20


class _Followed:
    """A log that is read as it grows, and from its beginning when it was replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._rest = b""

    def past(self) -> list[str]:
        lines = self.lines()
        return lines[-_LINES_OF_THE_PAST:]

    def lines(self) -> list[str]:
        if self._file is None or self._was_replaced(self._file):
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return []
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def _was_replaced(self, file: IO[bytes]) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return now.st_ino != os.fstat(file.fileno()).st_ino or now.st_size < file.tell()


def follow(profile: Profile, names: Sequence[str]) -> None:
    if profile.mode == "docker":
        docker.compose(["logs", "--follow", "--tail", str(_LINES_OF_THE_PAST), *names])
        return
    if not profile.home.exists() or not any(profile.log(name).exists() for name in names):
        raise Problem("There are no logs yet: `make up` starts the system.")
    followed = {name: _Followed(profile.log(name)) for name in names}
    width = max(map(len, names))
    for name, log in followed.items():
        _print(names.index(name), name.ljust(width), log.past())
    while True:
        for name, log in followed.items():
            _print(names.index(name), name.ljust(width), log.lines())
        sys.stdout.flush()
        time.sleep(0.2)


def _print(number: int, name: str, lines: list[str]) -> None:
    start, end = (f"\x1b[{_COLOURS[number % len(_COLOURS)]}m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    for line in lines:
        print(f"{start}{name} |{end} {line}")
