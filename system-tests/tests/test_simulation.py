"""A short run of the simulation, which needs no servers: `make simulate` is the long one."""

import asyncio
import os
import sys

from system import ROOT

RUNS = 300


async def test_nothing_is_lost_and_nothing_happens_twice_whatever_goes_wrong() -> None:
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulation", "--seed", "1", "--runs", str(RUNS)),
        cwd=ROOT / "system-tests",
        env={name: value for name, value in os.environ.items() if name not in ("SEED", "RUNS")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await run.communicate()
    assert run.returncode == 0, output.decode()
    assert f"{RUNS} runs" in output.decode()
