"""A profile is one pair of servers (and, for `system` and `secure`, the services on it) with a folder of its own under
`.run/`."""

import json
import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO

import layout
import locks
from console import Problem

SYSTEM, SECURE = "system", "secure"
RABBITMQ_TLS = "rabbitmq-tls"
"""The broker's second port, of a profile whose servers take connections with TLS and without: see servers.py."""


@dataclass
class Profile:
    name: str
    mode: str = ""  # "native" or "docker" once started, else empty
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, tuple[int, str]] = field(default_factory=dict)  # of an earlier version: see earlier.py
    secret: str = ""  # the supervisor's password
    settings: dict[str, str] = field(default_factory=dict)  # those that the services were started with

    @property
    def secure(self) -> bool:
        """Whether it shows production, in which nothing has a password that everybody knows."""
        return self.name.partition("-")[0] == SECURE

    @property
    def encrypts(self) -> bool:
        """Whether its servers take TLS."""
        return self.secure or RABBITMQ_TLS in self.ports

    @property
    def personal(self) -> bool:
        """Whether it is a person's: it has the ports that the variables name, `.env` counts, what dies comes back."""
        return self.name in (SYSTEM, SECURE)

    @property
    def home(self) -> Path:
        return layout.RUN / self.name

    def log(self, name: str) -> Path:
        return self.home / "log" / f"{name}.log"

    def save(self) -> None:
        draft = self.home / "state.json.new"
        write_private(draft, json.dumps(vars(self), indent=2) + "\n")
        draft.replace(self.home / "state.json")

    def discard(self, *, keep_logs: bool = False) -> None:
        """Removes everything that the profile keeps on disk, except the locks that guard it."""
        for entry in self.home.glob("*"):
            if entry.name.endswith("lock") or (keep_logs and entry.name == "log"):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def wanted() -> str:
    """The one that SECURE chooses: 1 is `secure`; another word is one of its kind, for a test."""
    word = os.environ.get("SECURE", "0") or "0"
    return {"0": SYSTEM, "1": SECURE}.get(word, f"{SECURE}-{word}")


def load(name: str) -> Profile:
    """Reads what any version of these scripts has written: a branch may have been changed since."""
    path = layout.RUN / name / "state.json"
    try:
        state = json.loads(path.read_text()) if path.exists() else {}
        return Profile(**{key.name: state[key.name] for key in fields(Profile) if key.name in state} | {"name": name})
    except (OSError, ValueError, TypeError) as error:
        raise Problem(f"{path} can't be read: remove it and try again.", str(error)) from None


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


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Writes a file that only its owner may read: it holds passwords."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
