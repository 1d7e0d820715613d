"""A profile is one pair of servers (and, for `system`, the services on it) with a folder of its own under `.run/`."""

import json
import shutil
import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import layout
import locks
import processes
from console import Problem
from processes import Running

SYSTEM = "system"


@dataclass
class Profile:
    name: str
    mode: str = ""  # "native" or "docker" once started, else empty
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, Running] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return layout.RUN / self.name

    def log(self, name: str) -> Path:
        return self.home / "log" / f"{name}.log"

    def alive(self, name: str) -> bool:
        return name in self.processes and self.processes[name].alive()

    def save(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        state = {
            "mode": self.mode,
            "ports": self.ports,
            "processes": {name: [process.pid, process.began] for name, process in self.processes.items()},
        }
        draft = self.home / "state.json.new"
        draft.write_text(json.dumps(state, indent=2) + "\n")
        draft.replace(self.home / "state.json")

    def record(self, name: str, process: Running) -> None:
        self.processes[name] = process
        self.save()

    def forget(self, *names: str) -> None:
        for name in names:
            self.processes.pop(name, None)
        self.save()

    def kill(self, name: str) -> None:
        """Ends a process as a crash would: it gets no chance to write anything."""
        if name in self.processes:
            processes.stop([self.processes[name]], signal.SIGKILL, seconds=0)
            self.forget(name)

    def discard(self, *, keep_logs: bool = False) -> None:
        """Removes everything that the profile keeps on disk, except the locks that guard it."""
        for entry in self.home.glob("*"):
            if entry.name.endswith("lock") or (keep_logs and entry.name == "log"):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        self.mode, self.ports, self.processes = "", {}, {}


def load(name: str) -> Profile:
    profile = Profile(name)
    try:
        state = json.loads((profile.home / "state.json").read_text())
    except FileNotFoundError:
        return profile
    except (OSError, ValueError) as error:
        raise Problem(f"{profile.home / 'state.json'} can't be read: remove it and try again.", str(error)) from None
    profile.mode = state["mode"]
    profile.ports = state["ports"]
    profile.processes = {name: Running(pid, began) for name, (pid, began) in state["processes"].items()}
    return profile


def changing(name: str) -> AbstractContextManager[None]:
    """Held while a profile's processes are started or stopped."""
    return locks.hold(layout.RUN / name / "lock", f"starting or stopping '{name}'")


def private(kind: str) -> tuple[Profile, IO[str]]:
    """A profile that nobody else uses (`test`, else `test-2`, ...), and the lock that keeps it so until closed."""
    for number in range(1, 100):
        name = kind if number == 1 else f"{kind}-{number}"
        owner = locks.attempt(layout.RUN / name / "owner.lock")
        if owner is not None:
            return load(name), owner
    raise Problem(f"A hundred '{kind}' profiles are in use: end some of these runs.")
