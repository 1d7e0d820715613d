"""Runs code of deploy/local, in a process of its own: some of the modules there have names of ours."""

import os
import subprocess
import sys

from machine import ROOT

LOCAL = ROOT / "deploy" / "local"


def run_local(code: str, *, answer: str = "", **environment: str) -> str:
    """What it printed; the code finds the modules of deploy/local."""
    program = f"import sys\nsys.path.insert(0, {str(LOCAL)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=answer,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
