"""`make install`: each project's `.venv`, filled by pip from its lock file, every hash checked."""

import hashlib
import json
import os
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import layout
import locks
import tools
from console import Problem, report, say

_STAMP = "order-processing-stamp"


def install(names: Sequence[str]) -> None:
    """Fills the environments of these projects anew; those that are up to date cost nothing."""
    if not _stale(names):
        return
    with locks.hold(layout.RUN / "log" / "install.lock", "installing"):
        if not (stale := _stale(names)):
            return
        poetry = tools.poetry()
        say(f"install: {', '.join(stale)}")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            problems = [problem for problem in pool.map(lambda name: _attempt(name, poetry), stale) if problem]
    for problem in problems[:-1]:
        report(problem)
    if problems:
        raise problems[-1]


def python(name: str) -> Path:
    return layout.ROOT / name / ".venv" / "bin" / "python"


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        where = path.parent.relative_to(layout.ROOT)
        hint = f"run `poetry lock` in {where}" if path.name == "poetry.lock" else "get it back from git"
        raise Problem(f"{where}/{path.name} is missing: {hint}.") from None
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{path.relative_to(layout.ROOT)} is no valid TOML: put it right.", str(error)) from None


def path_dependencies(lock: dict[str, Any]) -> dict[str, str]:
    """The locked packages that are folders of this repository, by name: there is the chassis, or nothing."""
    found = (package for package in lock["package"] if package.get("source", {}).get("type") == "directory")
    return {package["name"]: package["source"]["url"] for package in found}


def _stale(names: Sequence[str]) -> list[str]:
    def is_current(name: str) -> bool:
        stamp = layout.ROOT / name / ".venv" / _STAMP
        return python(name).exists() and stamp.exists() and stamp.read_text() == _fingerprint(name)

    return [name for name in names if not is_current(name)]


def _fingerprint(name: str) -> str:
    """Changes with all that the environment is made from, its place included, which its scripts name; a project's
    linter settings are not among that."""
    folder = layout.ROOT / name
    parts = [sys.version, str(Path(sys.executable).resolve()), str(folder), (folder / "poetry.lock").read_text()]
    for source in _editable(folder):
        project = read_toml(folder / source / "pyproject.toml")
        parts.append(json.dumps([project["project"], project.get("build-system")], sort_keys=True))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _editable(folder: Path) -> list[str]:
    """The folders that are installed as they stand: the chassis, in every project that needs it and in its own."""
    poetry = read_toml(folder / "pyproject.toml").get("tool", {}).get("poetry", {})
    own = ["."] if poetry.get("package-mode", True) else []
    return [*path_dependencies(read_toml(folder / "poetry.lock")).values(), *own]


def _attempt(name: str, poetry: Path) -> Problem | None:
    began = time.monotonic()
    try:
        _fill(name, poetry)
    except Problem as problem:
        return problem
    say(f"  {name}: installed in {time.monotonic() - began:.0f} s")
    return None


def export(name: str, poetry: Path, pins: Path, log: Path, *options: str) -> None:
    """Writes the packages of the project's lock file as pip reads them, with their hashes."""
    command: list[str | Path] = [poetry, "export", "--no-interaction", *options, "--output", pins]
    tools.run(command, log, f"Poetry could not export {name}/poetry.lock", layout.ROOT / name)
    # A folder can't be hashed, and one line without a hash makes pip refuse all: it is installed on its own.
    kept = [line for line in pins.read_text().splitlines() if not line.startswith("-e ") and " @ file:" not in line]
    pins.write_text("\n".join(kept) + "\n")


def _fill(name: str, poetry: Path) -> None:
    """Begins with an empty environment, so that nothing is left of an earlier lock file."""
    folder, log = layout.ROOT / name, layout.RUN / "log" / f"install-{name}.log"
    environment = folder / ".venv"
    log.unlink(missing_ok=True)
    fingerprint = _fingerprint(name)
    tools.make_environment(environment, log)
    pins = environment / "pins.txt"
    export(name, poetry, pins, log, "--with", "dev")
    tools.pip(environment, ["install", "--require-hashes", "-r", pins], log, f"install {name}'s packages")
    for path in _editable(folder):
        tools.pip(environment, ["install", "--no-deps", "-e", path], log, f"install {path} for {name}", folder)
    (environment / _STAMP).write_text(fingerprint)
