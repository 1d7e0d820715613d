"""`make logs`: the services' logs as one stream, each line with its service's name, until Ctrl-C."""

import subprocess
import sys
from collections.abc import Sequence

import docker
from console import Problem
from profiles import Profile

_COLOURS = (36, 33, 35, 32)
_LINES_OF_THE_PAST = "20"


def follow(profile: Profile, names: Sequence[str]) -> None:
    if profile.mode == "docker":
        docker.compose(["logs", "--follow", "--tail", _LINES_OF_THE_PAST, *names])
        return
    if not any(profile.log(name).exists() for name in names):
        raise Problem("There are no logs yet: `make up` starts the system.")
    width = max(map(len, names))
    followed = []
    for number, name in enumerate(names):
        start, end = (f"\x1b[{_COLOURS[number % len(_COLOURS)]}m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
        # By name, not by file: a log that grows too long is replaced.
        tail = subprocess.Popen(
            ["tail", "-n", _LINES_OF_THE_PAST, "-F", profile.log(name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        prefix = ["sed", "-u", f"s/^/{start}{name.ljust(width)} |{end} /"]
        followed += [tail, subprocess.Popen(prefix, stdin=tail.stdout)]
    try:
        for process in followed:
            process.wait()
    finally:
        for process in followed:
            process.kill()
