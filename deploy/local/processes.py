"""Starting processes that outlive us, and ending exactly those again, never one that has inherited their number."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from console import Problem

_PROC = Path("/proc")  # where a system has none (macOS), `ps` answers
_LARGEST_LOG = 16 * 1024 * 1024
_KILLED_WITHIN_SECONDS = 20


@dataclass(frozen=True)
class Running:
    """A process number and the moment at which that process began: together they name one process for ever."""

    pid: int
    began: str

    def alive(self) -> bool:
        return _began(self.pid) == self.began

    def send(self, number: signal.Signals) -> None:
        """Signals the process; SIGKILL, which it can't pass on, goes to the group that it leads as well."""
        if not self.alive():
            return
        try:
            if number == signal.SIGKILL and os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            pass


def identify(pid: int) -> Running | None:
    began = _began(pid)
    return Running(pid, began) if began else None


def program(pid: int) -> str:
    """The name of the program that runs under this number, or nothing."""
    if (_PROC / "self").exists():
        try:
            return (_PROC / str(pid) / "comm").read_text().strip()
        except OSError:
            return ""
    return Path(_ps(pid, "comm=")).name


def start(command: Sequence[str | Path], log: Path, env: Mapping[str, str], cwd: Path | None = None) -> Running:
    """Starts a process in a session of its own, so that a Ctrl-C meant for us does not reach it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process.returncode = 0  # It outlives us on purpose: no warning when the object goes.
    return identify(process.pid) or Running(process.pid, "ended at once")


def stop(running: Iterable[Running], number: signal.Signals, seconds: float) -> list[Running]:
    """Signals all, waits for their end, kills what is left after `seconds`; returns those that had to be killed."""
    waiting = [process for process in running if process.alive()]
    for process in waiting:
        process.send(number)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(process.alive() for process in waiting):
        time.sleep(0.05)
    killed = [process for process in waiting if process.alive()]
    for process in killed:
        process.send(signal.SIGKILL)
    deadline = time.monotonic() + _KILLED_WITHIN_SECONDS
    while time.monotonic() < deadline and any(process.alive() for process in killed):
        time.sleep(0.05)
    if immortal := [process.pid for process in killed if process.alive()]:
        raise Problem(f"Processes that were killed don't end ({immortal}): something below them hangs, a disk perhaps.")
    return killed


def _began(pid: int) -> str | None:
    """A text that no other process ever has under this number; None for one that has ended (or waits to be reaped)."""
    if (_PROC / "self").exists():
        try:
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    status, _, began = _ps(pid, "stat=,lstart=").partition(" ")
    return began.strip() if status and not status.startswith("Z") else None


def _ps(pid: int, columns: str) -> str:
    return subprocess.run(["ps", "-o", columns, "-p", str(pid)], capture_output=True, text=True).stdout.strip()
