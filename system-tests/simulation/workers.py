"""The four worker processes, each in the interpreter and with the code of its own service's folder."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from simulation.mutations import ALL
from simulation.scenario import SERVICES
from simulation.wire import Pipe

SYSTEM_TESTS = Path(__file__).resolve().parents[1]


class Workers:
    """Made once, and used for any number of runs. `mutation` is applied to the services that it concerns when their
    workers start; the others may be those of `healthy`."""

    def __init__(self, mutation: str = "", healthy: "Workers | None" = None) -> None:
        self.bindings = ALL[mutation].bindings if mutation else ()
        mutated = ALL[mutation].services if mutation and healthy else SERVICES
        self._processes = {service: _start(service, mutation) for service in SERVICES if service in mutated}
        self.pipes: dict[str, Pipe] = dict(healthy.pipes) if healthy else {}
        for service, process in self._processes.items():
            self.pipes[service] = Pipe(cast(BinaryIO, process.stdout), cast(BinaryIO, process.stdin))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            with process:  # closes the pipes, at which the worker ends
                pass


def _start(service: str, mutation: str) -> "subprocess.Popen[bytes]":
    folder = SYSTEM_TESTS.parent / service
    own = folder / ".venv" / "bin" / "python"
    return subprocess.Popen(
        [str(own) if own.exists() else sys.executable, "-m", "simulation.worker", str(folder), mutation],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SYSTEM_TESTS), "PYTHONHASHSEED": "0"},
    )
