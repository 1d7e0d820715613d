"""What both parts of `make test-compose` look at, and how they wait."""

import subprocess
import time
from collections.abc import Callable

from console import Problem


def engine(*arguments: str) -> str:
    """What `docker` has printed. Raises Problem if it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Problem(f"`docker {' '.join(arguments)}` failed.", done.stderr)
    return done.stdout


def refuse_rights(container: str) -> None:
    """Raises Problem for one that runs as root, or has or may get rights."""
    shown = engine("exec", container, "cat", "/proc/1/status")
    found = {line.split()[0]: line.split()[1] for line in shown.splitlines() if len(line.split()) > 1}
    if found["Uid:"] == "0" or found["CapPrm:"].strip("0") or found["NoNewPrivs:"] != "1":
        raise Problem(f"{container} runs with rights that it does not need.", shown)


def eventually(otherwise: str, condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Problem(f"After {seconds:.0f} s {otherwise}.")
        time.sleep(0.2)
