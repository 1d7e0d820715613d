"""`make check`: format, lint, types, layers, lock files, contracts, length of files; a line for each, OK or why not."""

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import install
import layout
import lock_files
import tools
from console import Problem, say

_LONGEST_FILE = 400
_SCRIPTS = layout.ROOT / "deploy" / "local"
_LENDER = "chassis"
"""Whose tools check what is no project, and every project's layers: import-linter brings packages (rich) that a service
would load at its start, where it found them."""
_LENDER_FOLDER = layout.ROOT / _LENDER


@dataclass(frozen=True)
class Check:
    place: str
    what: str
    run: Callable[[], str]  # what is wrong, as text; empty when nothing is


def run(only: str = "") -> bool:
    """Whether all is clean."""
    names = [name for name in layout.projects() if only in ("", name)]
    if not names:
        raise Problem(f"ONLY={only} is no project: choose one of {', '.join(layout.projects())}.")
    install.install([_LENDER, *(name for name in names if name != _LENDER)])
    poetry = tools.poetry()
    checks = [check for name in names for check in _of_project(name, poetry)]
    if not only:
        checks += [*_of_code(_SCRIPTS, _LENDER_FOLDER), Check("all", "length", _too_long)]
    checks.sort(key=lambda check: check.what != "types")  # the slow ones first, so that no core is idle at the end
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(check.run): check for check in checks}
        for done in as_completed(running):
            check, wrong = running[done], done.result().strip()
            say(f"{check.place:<22} {check.what:<10} {'FAILED' if wrong else 'OK'}")
            if wrong:
                failed += 1
                say("\n".join(f"  | {line}" for line in wrong.splitlines()))
    say(f"{failed} of {len(checks)} checks FAILED." if failed else f"All {len(checks)} checks are OK.")
    return failed == 0


def _of_project(name: str, poetry: Path) -> Iterator[Check]:
    folder = layout.ROOT / name
    yield from _of_code(folder, folder)
    if (folder / ".importlinter").exists() or "importlinter" in install.read_toml(folder / "pyproject.toml")["tool"]:
        yield _check(folder, _LENDER_FOLDER, "layers", "lint-imports")
    if any((folder / "tests" / "contract").glob("test_*.py")):
        yield _check(folder, folder, "contracts", "python", "-m", "pytest", "-q", "--no-header", "tests/contract")
    yield Check(name, "lock file", lambda: _lock_file(folder, poetry))


def _of_code(folder: Path, owner: Path) -> Iterator[Check]:
    yield _check(folder, owner, "format", "ruff", "format", "--check", "--quiet", "--diff", ".")
    yield _check(folder, owner, "lint", "ruff", "check", "--quiet", ".")
    yield _check(folder, owner, "types", "mypy", "--strict", "--explicit-package-bases", ".")


def _check(folder: Path, owner: Path, what: str, program: str, *arguments: str) -> Check:
    """A tool from the environment of `owner`, run in the folder."""
    command: list[str | Path] = [owner / ".venv" / "bin" / program, *arguments]
    return Check(str(folder.relative_to(layout.ROOT)), what, lambda: _complaint(command, folder))


def _complaint(command: list[str | Path], folder: Path) -> str:
    """Nothing when the tool is content, else all that it says."""
    if not Path(command[0]).exists():
        return f"{command[0]} is missing: is it in the development dependencies of its project?"
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=layout.inherited_environment() | ({"MYPYPATH": "src"} if (folder / "src").is_dir() else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return "" if done.returncode == 0 else done.stdout or f"exit code {done.returncode}"


def _lock_file(folder: Path, poetry: Path) -> str:
    wrong = _complaint([poetry, "check", "--lock", "--no-interaction"], folder)
    return "\n".join(part for part in (wrong, *lock_files.differences(folder)) if part)


def _too_long() -> str:
    """Python files that have grown beyond what one reads at once; tests and migrations may be as long as they are."""
    found = []
    for path in sorted(layout.ROOT.rglob("*.py")):
        parts = path.relative_to(layout.ROOT).parts
        if any(part in ("tests", "alembic", "node_modules") or part.startswith(".") for part in parts):
            continue
        lines = len(path.read_text().splitlines())
        if lines > _LONGEST_FILE:
            found.append(f"{'/'.join(parts)} has {lines} lines: split it (at most {_LONGEST_FILE})")
    return "\n".join(found)
