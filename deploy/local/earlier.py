"""Stopping what earlier versions of these scripts have started, which knew no supervisor and noted each process."""

import os
import signal
import time
from pathlib import Path

from console import Problem
from profiles import Profile

_SECONDS = 90
_LAST = ("rabbitmq", "epmd", "postgres")


def stop(profile: Profile) -> None:
    """One after the other, the servers last. Only a process that began when it was noted is the one that was noted."""
    names = sorted(profile.processes, key=lambda name: _LAST.index(name) if name in _LAST else -1)
    for name in names:
        pid, began = profile.processes[name]
        deadline = time.monotonic() + _SECONDS
        if _runs(pid, began):
            os.kill(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        while _runs(pid, began):
            if time.monotonic() > deadline:
                raise Problem(f"{name} (process {pid}) does not end: stop it by hand.")
            time.sleep(0.05)
    profile.processes = {}


def runs(profile: Profile) -> bool:
    return any(_runs(*process) for process in profile.processes.values())


def _runs(pid: int, began: str) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return False
    return fields[0] not in "ZX" and began == f"{boot}:{fields[19]}"
