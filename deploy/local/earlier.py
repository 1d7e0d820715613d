"""Stopping what earlier versions of these scripts have started, which knew no supervisor and noted each process."""

import os
import signal
import time
from pathlib import Path

from console import Problem
from profiles import Profile

_SECONDS = 90


def runs(profile: Profile) -> bool:
    return any(_runs(*process) for process in profile.processes.values())


def stop(profile: Profile) -> None:
    """One after the other, in the opposite order of their start. Each understands SIGINT."""
    for name, process in reversed(profile.processes.items()):
        if _runs(*process):
            os.kill(process[0], signal.SIGINT)
        deadline = time.monotonic() + _SECONDS
        while _runs(*process):
            if time.monotonic() > deadline:
                raise Problem(f"{name} (process {process[0]}) does not end: stop it by hand.")
            time.sleep(0.05)
    profile.processes = {}


def _runs(pid: int, began: str) -> bool:
    """Only a process that began when it was noted is the one that was noted."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return False
    return fields[0] not in "ZX" and began == f"{boot}:{fields[19]}"
