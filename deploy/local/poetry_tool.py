"""The Poetry that reads the lock files: the machine's, or a pinned one of our own under `.run/poetry`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import environments
import layout
import locks
from console import say

PINS = ("poetry==2.5.*", "poetry-plugin-export==1.*")


def provide() -> Path:
    """The path of a Poetry 2 that can export. Installs one when there is none."""
    folder = layout.RUN / "poetry"
    own, stamp = folder / "bin" / "poetry", folder / "stamp"
    made = f"{PINS} {sys.version} {layout.ROOT}"
    with locks.hold(layout.RUN / "log" / "poetry.lock", "installing Poetry"):
        if own.exists() and stamp.exists() and stamp.read_text() == made:
            return own
        machine = shutil.which("poetry")
        if machine and _can_export(machine):
            return Path(machine)
        say("install: the machine has no Poetry that can export, so one is put under .run/poetry")
        log = layout.RUN / "log" / "install-poetry.log"
        environments.create(folder, log)
        environments.pip(folder, ["install", *PINS], log, "install Poetry")
        stamp.write_text(made)
    return own


def _can_export(poetry: str) -> bool:
    version = subprocess.run([poetry, "--version"], capture_output=True, text=True)
    if version.returncode != 0 or not re.search(r"version ([2-9]|\d\d)\.", version.stdout):
        return False
    return subprocess.run([poetry, "export", "--help"], capture_output=True).returncode == 0
