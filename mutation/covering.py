"""Which tests try a mutant: those that call the function that it is in, as calls.py saw them do."""

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sessions import HERE, ROOT, STATE, digest, matching


class Called(NamedTuple):
    seconds: float
    functions: list[str]  # as `file:function`


Calls = dict[str, Called]  # by test


def command(tree: Path, folder: Path, seconds: float, arguments: Iterable[str], **variables: str) -> list[str]:
    """Runs pytest in the folder's copy. Its limits outlive this process: none spins, or fills the memory, for ever."""
    path = os.pathsep.join(map(str, [tree / "chassis" / "src", HERE]))
    return [
        *("sh", "-c", f'ulimit -t {seconds:.0f}; ulimit -v 8000000; cd "$0" && exec env "$@"'),
        str(tree / folder.relative_to(ROOT)),
        *(f"{name}={value}" for name, value in {"PYTHONPATH": path, **variables}.items()),
        *(".venv/bin/python", "-m", "pytest", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", *arguments),
    ]


def calls_of(folder: Path, patterns: Iterable[str], tree: Path, *, hurry: bool) -> tuple[Calls, set[str]]:
    """What all tests that may be run call, kept from run to run, and the test files that pass in the folder as it is.

    In a hurry, only new and changed test files are looked at again.
    """
    kept = STATE / "calls" / f"{folder.name}.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    now = {str(path.relative_to(folder)): [digest(path), digest(folder)] for path in sorted(matching(folder, patterns))}
    relevant = 1 if hurry else 2
    stale = [name for name in now if name not in known or known[name]["of"][:relevant] != now[name][:relevant]]
    if stale:
        print(f"{folder.name}: what {len(stale)} test files call", flush=True)
        written = STATE / "calls.new"
        run = command(tree, folder, 3600, ["-p", "calls", *stale], CALLS=str(written))
        passed = subprocess.run(run, stdout=subprocess.DEVNULL).returncode == 0
        fresh = json.loads(written.read_text())
        known |= {name: {"of": now[name], "passed": passed, "tests": fresh.get(name, {})} for name in stale}
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(known))
    calls = {test: Called(*told) for name in now for test, told in known[name]["tests"].items()}
    return calls, {name for name in now if known[name]["passed"] and known[name]["of"] == now[name]}


def tests_of(file: Path, function: str | None, calls: Calls) -> list[str]:
    """Those that call the function; of a constant, or a new function, those that call any of the file; else all. The
    quickest test file comes first, and its tests together, because they share fixtures."""
    in_file = {test: [f for f in called.functions if f.startswith(f"{file}:")] for test, called in calls.items()}
    chosen = [test for test, functions in in_file.items() if f"{file}:{function}" in functions]
    chosen = chosen or [test for test, functions in in_file.items() if functions] or list(calls)
    costs: dict[str, float] = defaultdict(float)
    for test in chosen:
        costs[test.split("::")[0]] += calls[test].seconds
    return sorted(chosen, key=lambda test: (costs[test.split("::")[0]], test.split("::")[0]))
