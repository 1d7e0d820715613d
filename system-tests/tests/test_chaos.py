"""A minute of chaos, on a pair of servers that may be broken: those that other tests use are left alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from system import ROOT

SEED = "22"
MINUTES = "1.1"
_LONGEST_RUN_SECONDS = 600


def command(*words: str) -> str:
    """Runs a command of deploy/local/ and returns what it prints."""
    program = [sys.executable, str(ROOT / "deploy" / "local" / "run.py"), *words]
    return subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True, timeout=180).stdout


@pytest.fixture
def breakable() -> Iterator[dict[str, str]]:
    """The addresses of a pair of servers of this test's own, which bears the name of the run's with another beside."""
    run = os.environ.get("ORDER_PROCESSING_PROFILE")
    if not run:
        pytest.skip("starts and kills servers of its own: run `make test` or `make chaos` at the root")
    profile = f"{run}-chaos"
    try:
        command("reset", "--profile", profile)  # what a run that was killed left behind
        command("servers", "up", "--profile", profile)
        addresses: dict[str, str] = json.loads(command("env", "--json", "--profile", profile))
        yield addresses | {"ORDER_PROCESSING_PROFILE": profile}
    finally:
        command("reset", "--profile", profile)


def test_no_order_is_lost_or_charged_twice_whatever_is_killed_stopped_or_cut_off(
    breakable: dict[str, str], tmp_path: Path
) -> None:
    seed = os.environ.get("SEED") or SEED

    chaos = subprocess.run(
        [sys.executable, "-m", "chaos", "--seed", seed, "--minutes", MINUTES, "--logs", str(tmp_path)],
        cwd=ROOT / "system-tests",
        env=os.environ | breakable,
        capture_output=True,
        text=True,
        timeout=_LONGEST_RUN_SECONDS,
        check=False,
    )

    assert chaos.returncode == 0, f"{chaos.stdout[-6000:]}\n{chaos.stderr[-3000:]}\nthe logs are in {tmp_path}"
    print(chaos.stdout)
