"""`make check`: format, lint, types, layers, lock files, contracts, length of files; a line for each, OK or why not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import contracts
import install
import layout
import lock_files
import tools
from console import Problem, say

_LONGEST_FILE = 400
_SCRIPTS = tuple(layout.ROOT / "deploy" / folder for folder in ("local", "rabbitmq", "observability"))
_LENDER = layout.ROOT / "chassis"
"""Whose tools check what is no project, and every project's layers: import-linter brings packages (rich) that a service
would load at its start, where it found them."""

Check = tuple[Path, str, Callable[[], str]]
"""A folder, what is checked there, and what is wrong, as text; empty when nothing is."""


def run(only: str = "") -> bool:
    """Whether all is clean."""
    names = [name for name in layout.projects() if only in ("", name)]
    if not names:
        raise Problem(f"ONLY={only} is no project: choose one of {', '.join(layout.projects())}.")
    install.install([_LENDER.name, *(name for name in names if name != _LENDER.name)])
    poetry = tools.poetry()
    checks = [check for name in names for check in _of_project(layout.ROOT / name, poetry)]
    if not only:
        checks += [
            *(check for folder in _SCRIPTS for check in _of_code(folder, _LENDER)),
            (layout.ROOT, "length", _too_long),
            (layout.ROOT, "declared", _declared),
            _check(_SCRIPTS[-1], "dashboards", Path(sys.executable), "dashboards.py", "--check"),
        ]
    checks.sort(key=lambda check: check[1] != "types")  # the slow ones first, so that no core is idle at the end
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(find): (folder, what) for folder, what, find in checks}
        for done in as_completed(running):
            (folder, what), wrong = running[done], done.result().strip()
            place = "all" if folder == layout.ROOT else str(folder.relative_to(layout.ROOT))
            say(f"{place:<22} {what:<10} {'FAILED' if wrong else 'OK'}")
            if wrong:
                failed += 1
                say("\n".join(f"  | {line}" for line in wrong.splitlines()))
    say(f"{failed} of {len(checks)} checks FAILED." if failed else f"All {len(checks)} checks are OK.")
    return failed == 0


def _of_project(folder: Path, poetry: Path) -> Iterator[Check]:
    yield from _of_code(folder, folder)
    if (folder / ".importlinter").exists() or "importlinter" in install.read_toml(folder / "pyproject.toml")["tool"]:
        yield _check(folder, "layers", _tool(_LENDER, "lint-imports"))
    if any((folder / "tests" / "contract").glob("test_*.py")):
        yield _check(
            folder, "contracts", _tool(folder, "python"), "-m", "pytest", "-q", "--no-header", "tests/contract"
        )
    yield _check(folder, "lock file", poetry, "check", "--lock", "--no-interaction")
    yield folder, "chassis", lambda: "\n".join(lock_files.differences(folder))


def _of_code(folder: Path, owner: Path) -> Iterator[Check]:
    yield _check(folder, "format", _tool(owner, "ruff"), "format", "--check", "--quiet", "--diff", ".")
    yield _check(folder, "lint", _tool(owner, "ruff"), "check", "--quiet", ".")
    yield _check(folder, "types", _tool(owner, "mypy"), "--strict", "--explicit-package-bases", ".")


def _tool(owner: Path, name: str) -> Path:
    return owner / ".venv" / "bin" / name


def _check(folder: Path, what: str, program: Path, *arguments: str) -> Check:
    return folder, what, lambda: _complaint(program, arguments, folder)


def _complaint(program: Path, arguments: tuple[str, ...], folder: Path) -> str:
    """Nothing when the tool is content, else all that it says."""
    if not program.exists():
        return f"{program} is missing: is it in the development dependencies of its project?"
    environment = layout.inherited_environment() | ({"MYPYPATH": "src"} if (folder / "src").is_dir() else {})
    done = subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}" or f"exit code {done.returncode}"


def _declared() -> str:
    return "\n".join(contracts.run(check=True))


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
