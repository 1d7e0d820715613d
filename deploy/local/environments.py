"""Virtual environments and pip, each with a log of its own; what fails says so in one sentence."""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import layout
import packages
from console import Problem, shown, size, tail


def create(folder: Path, log: Path) -> None:
    """An empty virtual environment; Debian keeps what makes one in a package of its own."""
    missing = missing_packages()
    if missing:
        packages.install(missing, f"{sys.executable} can't make virtual environments")
    run([sys.executable, "-m", "venv", "--clear", folder], log, f"Python could not make the environment {folder}")


def missing_packages() -> list[str]:
    lacking = importlib.util.find_spec("ensurepip") is None
    return [f"python{sys.version_info.major}.{sys.version_info.minor}-venv"] if lacking else []


def pip(environment: Path, arguments: Sequence[str], log: Path, what: str, cwd: Path | None = None) -> str:
    options = ("--disable-pip-version-check", "--no-input")
    command: tuple[str | Path, ...] = (environment / "bin" / "python", "-m", "pip", *options, *arguments)
    return run(command, log, f"pip could not {what} (does it reach the package index that it is set to?)", cwd)


def run(command: Sequence[str | Path], log: Path, failure: str, cwd: Path | None = None) -> str:
    """What the command prints; all it says is appended to the log, and its last lines go into the Problem."""
    log.parent.mkdir(parents=True, exist_ok=True)
    before = size(log)
    words = [str(part) for part in command]
    with log.open("a") as errors:
        errors.write(f"$ {' '.join(words)}\n")
        errors.flush()
        done = subprocess.run(
            words,
            cwd=cwd,
            env=layout.inherited_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        errors.write(done.stdout)
    if done.returncode != 0:
        raise Problem(f"{failure}: its last lines stand above, all of them in {shown(log)}.", tail(log, 15, before))
    return done.stdout
