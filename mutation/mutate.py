"""`make mutate`: which small mistakes would no test notice? Cosmic Ray makes them one at a time, in copies of the tree.

Each mutant runs against the tests that call the function it is in, the quickest first. Results are kept, so a run that
was interrupted goes on; a survivor is tried again once anything in its folder has changed. Prints the scores and each
survivor, and exits with status 1 if one of them isn't in accepted.toml.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from attrs import evolve
from cosmic_ray import plugins
from cosmic_ray.mutating import mutate_and_test

import operators
import sessions
from covering import Calls, calls_of, command, tests_of
from sessions import ROOT, STATE, Job, Session

Change = tuple[str, ...]
"""The lines that a mutation takes out and puts in, `- old` and `+ new`, without their indentation."""
KINDS = ("killed", "survived", "accepted", "pending")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("--only", default="", help="a folder or a file, from the root")
    parser.add_argument(
        "--changed", default="", help="changed lines only: 1 (since main; on main: since HEAD) or since"
    )
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; another run goes on")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    plugins.OPERATOR_PROVIDERS["ours"] = operators.ALL
    lines = changed_lines(ROOT, options.changed) if options.changed else None
    ends = time.monotonic() + options.minutes * 60
    everything = []
    for folder, rules in sessions.folders():
        mine = sessions.of_folder(folder, rules, options.only, lines)
        everything += mine
        if any(session.pending() for session in mine) and time.monotonic() < ends:
            _try(folder, rules["tests"], mine, options.jobs, ends, hurry=lines is not None)
    if options.only and lines is None and not everything:
        parser.error(f"{options.only} is nothing that is mutated: see pyproject.toml")
    return report(everything, accepted())


def changed_lines(root: Path, since: str) -> dict[str, set[int]]:
    """The lines of each Python file that the working tree has otherwise than a commit has; new files are new lines."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout

    if since == "1":
        on_main = git("branch", "--show-current").strip() == "main" or not git("branch", "--list", "main")
        since = "HEAD" if on_main else git("merge-base", "main", "HEAD").strip()
    found: dict[str, set[int]] = {}
    for part in git("diff", "--unified=0", "--no-ext-diff", "--no-color", since, "--", "*.py").split("\n+++ b/")[1:]:
        name, _, hunks = part.partition("\n")
        for begin, count in re.findall(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", hunks, flags=re.MULTILINE):
            found.setdefault(name, set()).update(range(int(begin), int(begin) + int(count or 1)))
    for name in git("ls-files", "--others", "--exclude-standard", "--", "*.py").splitlines():
        found[name] = set(range(1, len((root / name).read_text().splitlines()) + 1))
    return found


def _copy() -> Path:
    """The sources as they are now, in a tree of their own, to which the environments are lent."""
    tree = STATE / "trees" / "1"
    shutil.rmtree(tree.parent, ignore_errors=True)
    for file in sessions.files():
        copy = tree / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)  # with its time, so that a mutant's is always another, and no .pyc passes for it
    for environment in ROOT.glob("*/.venv"):
        (tree / environment.relative_to(ROOT)).symlink_to(environment)
    return tree


def _try(folder: Path, tests: list[str], mine: Sequence[Session], jobs: int, ends: float, *, hurry: bool) -> None:
    trees = [_copy()]
    calls, passed = calls_of(folder, tests, trees[0], hurry=hurry)
    pending = [(session, job) for session in mine for job in session.pending()]
    pending.sort(key=lambda one: str(one[1].job_id))  # random, so a run that is broken off has tried a fair sample
    chosen = {
        job.job_id: tests_of(session.path.relative_to(folder), job.mutations[0].definition_name, calls)
        for session, job in pending
    }
    needed = {test for some in chosen.values() for test in some}
    _must_pass(folder, trees[0], sorted(test for test in needed if test.split("::")[0] not in passed))
    trees += [Path(shutil.copytree(trees[0], STATE / "trees" / str(n), symlinks=True)) for n in range(2, jobs + 1)]
    free: SimpleQueue[Path] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def run(session: Session, job: Job) -> Any:
        tree = free.get()
        try:
            return None if time.monotonic() > ends else _run(folder, tree, session, job, chosen[job.job_id], calls)
        finally:
            free.put(tree)

    print(f"{folder.name}: {len(pending)} mutants", flush=True)
    last = ""
    pool = ThreadPoolExecutor(jobs)
    try:
        running = {pool.submit(run, session, job): (session, job) for session, job in pending}
        for done in as_completed(running):
            session, job = running[done]
            if (result := done.result()) is not None:
                session.keep(job, result)
                last = job.job_id if result.is_killed else last
                print("." if result.is_killed else "S", end="", flush=True)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        _end_children()
        print()
    if last:  # mutants may have left something behind in the servers, on which all that came later has failed
        _must_pass(folder, trees[0], chosen[last], void=mine)


def _run(folder: Path, tree: Path, session: Session, job: Job, tests: Sequence[str], calls: Calls) -> Any:
    seconds = 30 + 5 * sum(calls[test].seconds for test in tests)
    mutated = evolve(job.mutations[0], module_path=tree / session.name)
    return mutate_and_test([mutated], shlex.join(command(tree, folder, seconds, ["-x", *tests])), seconds)


def _must_pass(folder: Path, tree: Path, tests: Sequence[str], void: Sequence[Session] = ()) -> None:
    if not tests:
        return
    done = subprocess.run(command(tree, folder, 3600, tests), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        for session in void:
            session.forget()
        sys.exit(f"{done.stdout[-3000:]}\n{folder.name}: these tests fail without any mutant, so nothing can be said.")


def _end_children() -> None:
    """Cosmic Ray starts each test run as a process group of its own, which no interrupt reaches."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True).stdout
    for child in map(int, children.split()):
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            continue  # `ps` itself, for one


def change(diff: str) -> Change:
    lines = [line for line in diff.splitlines() if line[:1] in ("-", "+") and line[:3] not in ("---", "+++")]
    return tuple(f"{line[0]} {line[1:].strip()}" for line in lines)


def accepted() -> dict[tuple[str, Change], str]:
    """The survivors that may live, and why, by file and change: so they are known wherever in the file they are."""
    entries = tomllib.loads((sessions.HERE / "accepted.toml").read_text()).get("survivor", [])
    return {(entry["file"], change(entry["change"])): entry["why"] for entry in entries}


def report(everything: Sequence[Session], may_live: dict[tuple[str, Change], str]) -> int:
    totals: dict[str, Counter[str]] = {}
    for session in everything:
        count: Counter[str] = Counter()
        for job in sorted(session.jobs, key=lambda job: job.mutations[0].start_pos):
            result = session.results.get(job.job_id)
            lines = change(result.diff or "") if result else ()
            kind = "pending" if result is None else "killed" if result.is_killed else "survived"
            if kind == "survived" and (session.name, lines) in may_live:
                kind = "accepted"
            elif kind == "survived":
                print(f"\n{session.name}:{job.mutations[0].start_pos[0]}", *lines, sep="\n  ")
            count[kind] += 1
        totals[session.name] = count
        totals[session.folder.name] = totals.get(session.folder.name, Counter()) + count
    print(f"\n{'':<60}  score" + "".join(f"{kind:>10}" for kind in KINDS))
    for name, count in sorted(totals.items()):
        tried = count["killed"] + count["survived"]
        score = f"{100 * count['killed'] / tried:5.0f} %" if tried else "      -"
        print(f"{name:<60}{score}" + "".join(f"{count[kind]:>10}" for kind in KINDS))
    return int(any(count["survived"] for count in totals.values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
