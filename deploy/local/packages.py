"""Installing what is missing from the distribution's packages, without starting anything that they bring."""

import os
import shutil
import subprocess
import sys

import layout
import tools
from console import Problem, report, say, shown

_PROGRAMS = ("prometheus", "prometheus-alertmanager", "haproxy", "chromium")
"""Each is in a package of its own name."""
_SCRIPT = layout.ROOT / "deploy" / "local" / "packages.sh"


def install(names: list[str], why: str) -> None:
    """Installs Debian packages, having said so. Raises Problem when that isn't allowed or fails."""
    listed = " ".join(names)
    if shutil.which("apt-get") is None:
        raise Problem(f"{why}, and this machine has no apt-get: install them ({listed}) as your system does it.")
    prefix = _as_root()
    if prefix is None:
        script = shown(_SCRIPT)
        raise Problem(f"{why}, and installing needs root: run `sudo sh {script} {listed}`, then try again.")
    log = layout.RUN / "log" / "apt-get.log"
    say(f"{why}: installing {listed} with {'sudo ' if prefix else ''}apt-get (nothing is started; log: {shown(log)})")
    tools.run([*prefix, "sh", _SCRIPT, *names], log, f"apt-get could not install {listed}")


def find(program: str) -> str | None:
    """Its path; Debian's servers are not on everybody's PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


def provide(program: str) -> None:
    if find(program) is None:
        install([program], f"This machine lacks {program}")


def provide_for_tests() -> None:
    """What the tests of alerts, edge and page need. Where it can't be installed that is said, and they fail in their
    turn: nobody else has to wait for it."""
    for program in _PROGRAMS:
        try:
            provide(program)
        except Problem as problem:
            report(problem)


def _as_root() -> list[str] | None:
    """What to put before a command to run it as root; None when we may not."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    if sys.stdin.isatty():
        return ["sudo"]
    allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
    return ["sudo", "-n"] if allowed else None
