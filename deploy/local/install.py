"""`make install`: each project's `.venv`, filled by pip from its lock file, every hash checked."""

import hashlib
import json
import os
import re
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import environments
import layout
import locks
import poetry_tool
from console import Problem, report, say

_STAMP = "order-processing-stamp"
_BROUGHT_BY_VENV = {"pip", "setuptools", "wheel"}
_INTERPRETER = Path(sys.executable).resolve()


def install(names: Sequence[str]) -> None:
    """Brings the environments of these projects up to date; those that are cost nothing."""
    if not _stale(names):
        return
    with locks.hold(layout.RUN / "log" / "install.lock", "installing"):
        stale = _stale(names)
        if not stale:
            return
        poetry = poetry_tool.provide()
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
    return [name for name in names if not _is_current(name)]


def _is_current(name: str) -> bool:
    stamp = layout.ROOT / name / ".venv" / _STAMP
    return python(name).exists() and stamp.exists() and stamp.read_text() == _fingerprint(name)


def _fingerprint(name: str) -> str:
    """Changes with all that the environment is made from; a chassis's linter settings are not among that."""
    folder = layout.ROOT / name
    lock = read_toml(folder / "poetry.lock")
    sources = [folder / path for path in path_dependencies(lock).values()]
    if _is_package(folder):
        sources.append(folder)
    parts = [sys.version, str(_INTERPRETER), str(folder), (folder / "poetry.lock").read_text()]
    for source in sources:
        project = read_toml(source / "pyproject.toml")
        built_from = [project.get("project"), project.get("build-system"), project.get("tool", {}).get("poetry")]
        parts.append(json.dumps(built_from, sort_keys=True))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _is_package(folder: Path) -> bool:
    poetry = read_toml(folder / "pyproject.toml").get("tool", {}).get("poetry", {})
    return bool(poetry.get("package-mode", True))


def _attempt(name: str, poetry: Path) -> Problem | None:
    began = time.monotonic()
    try:
        _fill(name, poetry)
    except Problem as problem:
        return problem
    say(f"  {name}: installed in {time.monotonic() - began:.0f} s")
    return None


def _fill(name: str, poetry: Path) -> None:
    folder = layout.ROOT / name
    environment = folder / ".venv"
    log = layout.RUN / "log" / f"install-{name}.log"
    log.unlink(missing_ok=True)
    stamp = environment / _STAMP
    stamp.unlink(missing_ok=True)
    fingerprint = _fingerprint(name)
    if not _made_by_this_python(environment):
        environments.create(environment, log)
    pins = environment / "pins.txt"
    export: list[str | Path] = [poetry, "export", "--no-interaction", "--format", "requirements.txt"]
    pinned = environments.run([*export, *_groups(folder)], log, f"Poetry could not export {name}/poetry.lock", folder)
    # A folder can't be hashed, and one line without a hash makes pip refuse all: it is installed on its own.
    kept = [line for line in pinned.splitlines() if not line.startswith("-e ") and " @ file:" not in line]
    pins.write_text("\n".join(kept) + "\n")
    environments.pip(environment, ["install", "--require-hashes", "-r", str(pins)], log, f"install {name}'s packages")
    own = path_dependencies(read_toml(folder / "poetry.lock"))
    if _is_package(folder):
        own[read_toml(folder / "pyproject.toml")["project"]["name"]] = "."
    for path in own.values():
        environments.pip(environment, ["install", "--no-deps", "-e", path], log, f"install {path} for {name}", folder)
    _remove_others(environment, pins.read_text(), set(own), log)
    stamp.write_text(fingerprint)


def _groups(folder: Path) -> list[str]:
    project = read_toml(folder / "pyproject.toml")
    poetry_groups = project.get("tool", {}).get("poetry", {}).get("group", {})
    return ["--with", "dev"] if "dev" in poetry_groups or "dev" in project.get("dependency-groups", {}) else []


def _made_by_this_python(environment: Path) -> bool:
    """And in this place: its scripts bear the path, so a moved clone needs new ones."""
    program = environment / "bin" / "python"
    pip_script = environment / "bin" / "pip"
    if program.resolve() != _INTERPRETER or not pip_script.exists() or str(environment) not in pip_script.read_text():
        return False
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (environment / "lib" / f"python{version}").is_dir()


def _remove_others(environment: Path, pins: str, own: set[str], log: Path) -> None:
    """Takes out what only an earlier lock file had, lest it seem to be a dependency still."""
    wanted = {_normal(match) for match in re.findall(r"^([A-Za-z0-9][\w.-]*)", pins, flags=re.MULTILINE)}
    wanted |= {_normal(name) for name in own} | _BROUGHT_BY_VENV
    listed = json.loads(environments.pip(environment, ["list", "--format", "json"], log, "list what is installed"))
    extra = [package["name"] for package in listed if _normal(package["name"]) not in wanted]
    if extra:
        environments.pip(environment, ["uninstall", "--yes", *extra], log, "remove what is no longer locked")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
