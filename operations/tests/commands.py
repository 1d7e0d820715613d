"""The tool, run as a person runs it."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Nothing of the environment's own says where a system is."""
    clean = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_PORT"))}
    return subprocess.run(
        [sys.executable, "-m", "operations", *arguments],
        cwd=FOLDER,
        env=clean | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
