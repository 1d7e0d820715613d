"""What replaces or deletes data asks first on a terminal; YES=1 answers, and nobody is asked where no terminal is."""

import os
import pty
import subprocess
import sys

import pytest

from system import ROOT

ASK = [sys.executable, "-c", "import console; console.confirm('All is gone.'); print('done')"]


def asked(answer: str, **variables: str) -> tuple[bool, bool]:
    """Whether the question was put, and whether the command went on."""
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    clean = {name: value for name, value in os.environ.items() if name != "YES"}
    done = subprocess.run(
        ASK, cwd=ROOT / "deploy" / "local", env=clean | variables, stdin=theirs, capture_output=True, text=True
    )
    os.close(ours)
    os.close(theirs)
    return "Go on?" in done.stdout, done.stdout.endswith("done\n")


@pytest.mark.parametrize(("answer", "goes_on"), [("y\n", True), ("yes\n", True), ("\n", False), ("n\n", False)])
def test_on_a_terminal_only_a_yes_goes_on(answer: str, goes_on: bool) -> None:
    assert asked(answer) == (True, goes_on)


def test_an_answer_in_advance_asks_nobody() -> None:
    assert asked("n\n", YES="1") == (False, True)
    assert asked("n\n", YES="0") == (True, False)


def test_without_a_terminal_nobody_is_asked() -> None:
    done = subprocess.run(
        ASK, cwd=ROOT / "deploy" / "local", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    assert done.stdout == "done\n"
