"""Which lines count as changed, which tests try a mutant, and which survivors may live."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import covering
import mutate
import sessions
from covering import Called

DIFF = """--- mutation diff ---
--- a/x.py
+++ b/x.py
@@ -{at},3 +{at},3 @@
 before
-    if size > 0:
+    if size > 1:
 after
"""


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., None]:
    def run(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    run("init", "--initial-branch=main")
    (tmp_path / "a.py").write_text("".join(f"{line}\n" for line in range(1, 10)))
    (tmp_path / "gone.py").write_text("1\n")
    run("add", ".")
    run("commit", "-m", "first")
    return run


def test_changed_lines_are_those_of_the_branch_and_of_the_working_tree(
    git: Callable[..., None], tmp_path: Path
) -> None:
    git("checkout", "-b", "branch")
    (tmp_path / "a.py").write_text("1\ntwo\n3\n4\n5\n7\n8\n9\n")
    git("commit", "-am", "second")
    (tmp_path / "a.py").write_text("1\ntwo\n3\n4\n5\n7\neight\nand\n9\n")
    (tmp_path / "gone.py").unlink()
    (tmp_path / "b.py").write_text("1\n2\n")
    (tmp_path / "b.txt").write_text("1\n")

    assert mutate.changed_lines(tmp_path, "1") == {"a.py": {2, 7, 8}, "b.py": {1, 2}}
    assert mutate.changed_lines(tmp_path, "HEAD") == {"a.py": {7, 8}, "b.py": {1, 2}}


def test_on_main_changed_lines_are_those_that_are_not_committed(git: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\n")
    git("commit", "-am", "second")
    (tmp_path / "gone.py").write_text("another\n")

    assert mutate.changed_lines(tmp_path, "1") == {"gone.py": {1}}


def test_a_mutant_is_tried_by_the_tests_that_call_its_function_the_quickest_file_first() -> None:
    calls = {
        "a_slow.py::a": Called(2, ["x.py:f"]),
        "z_quick.py::b": Called(1, ["x.py:f", "y.py:g"]),
        "a_slow.py::c": Called(0.1, ["x.py:g"]),
        "other.py::d": Called(0.1, ["xx.py:f"]),
        "z_quick.py::e": Called(0.5, ["x.py:f"]),
    }

    assert covering.tests_of(Path("x.py"), "f", calls) == ["z_quick.py::b", "z_quick.py::e", "a_slow.py::a"]
    assert covering.tests_of(Path("x.py"), None, calls) == [
        "z_quick.py::b",
        "z_quick.py::e",
        "a_slow.py::a",
        "a_slow.py::c",
    ]
    assert set(covering.tests_of(Path("events.py"), "Paid", calls)) == set(calls)


def test_what_no_test_should_see_is_not_mutated() -> None:
    made = "@dataclass(frozen=True)\nclass A:\n"
    logged = "    def b(self):\n        log.info(\n            'c')\n        d(2 * 3)\n"
    star = "def e(f, *, g): ..."

    assert sessions.noise(made + logged + star) == {1, 4, 5, 7}


def _session(*diffs: str, killed: bool = False) -> Any:
    jobs = [
        SimpleNamespace(job_id=str(number), mutations=[SimpleNamespace(start_pos=(number, 0))])
        for number, _ in enumerate(diffs)
    ]
    results = {job.job_id: SimpleNamespace(diff=diff, is_killed=killed) for job, diff in zip(jobs, diffs, strict=True)}
    return SimpleNamespace(name="folder/x.py", folder=Path("folder"), jobs=jobs, results=results)


def test_an_accepted_survivor_is_known_again_on_any_line_and_at_any_depth() -> None:
    may_live = {("folder/x.py", mutate.change("\n- if size > 0:\n+ if size > 1:\n")): "why"}
    moved = DIFF.format(at=70).replace("    if", "        if")

    assert mutate.report([_session(DIFF.format(at=7), moved)], may_live) == 0


@pytest.mark.parametrize("other", ["if size > 2:", "if size >= 0:"])
def test_a_survivor_that_nobody_accepted_fails_the_run(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    may_live = {("folder/x.py", mutate.change("- if size > 0:\n+ if size > 1:")): "why"}
    survivor = DIFF.format(at=7).replace("if size > 1:", other)

    assert mutate.report([_session(survivor)], may_live) == 1
    assert f"folder/x.py:0\n  - if size > 0:\n  + {other}\n" in capsys.readouterr().out
    assert mutate.report([_session(survivor, killed=True)], may_live) == 0


def test_another_file_s_survivor_is_not_accepted_with_it() -> None:
    may_live = {("folder/y.py", mutate.change(DIFF.format(at=7))): "why"}

    assert mutate.report([_session(DIFF.format(at=7))], may_live) == 1
