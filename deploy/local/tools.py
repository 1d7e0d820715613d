"""Programs that do the work: pip and its environments, Poetry, the supervisor. What fails says so in one sentence."""

import importlib.util
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import layout
import locks
import packages
from console import Problem, say, shown, size, tail

# The newest Poetry 2 that was tried; with the machine's own, 2.0 is the oldest that works.
_POETRY = ("poetry==2.5.*", "poetry-plugin-export==1.*")
# In an environment of its own and without Poetry: the servers of tests need no lock file and no index but pip's.
_SUPERVISOR = """\
supervisor==4.3.0 \\
    --hash=sha256:0bcb763fddafba410f35cbde226aa7f8514b9fb82eb05a0c85f6588d1c13f8db \\
    --hash=sha256:4a2bf149adf42997e1bb44b70c43b613275ec9852c3edacca86a9166b27e945e
"""
_LONGEST_SECONDS = 30 * 60
_PROGRESS_SECONDS = 5
_progress = threading.Lock()
_said_at = 0.0


def run(
    command: Sequence[str | Path],
    log: Path,
    failure: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Runs to the end. All that the command says is appended to the log; what takes long shows its newest line there,
    and the last lines go into the Problem that is raised when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    before, began = size(log), time.monotonic()
    words = [str(word) for word in command]
    environment = dict(env) if env is not None else layout.inherited_environment()
    with log.open("a") as output:
        output.write(f"$ {' '.join(words)}\n")
        output.flush()
        process = subprocess.Popen(
            words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        while process.poll() is None and time.monotonic() < began + _LONGEST_SECONDS:
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                _show_progress(log, began)
    finally:
        process.kill()
    if process.wait() != 0:
        raise Problem(f"{failure}: its last lines stand above, all of them in {shown(log)}.", tail(log, 15, before))


def _show_progress(log: Path, began: float) -> None:
    """One line every few seconds, whichever of the commands that run at the same time it is from."""
    global _said_at
    with _progress:
        now = time.monotonic()
        if now - max(_said_at, began) >= _PROGRESS_SECONDS:
            _said_at = now
            lines = [line.strip() for line in tail(log, 200).splitlines() if not line.startswith(("WARNING", " "))]
            say(f"  {now - began:3.0f} s, {log.stem.removeprefix('install-')}: {lines[-1][:80] if lines else ''}")


def make_environment(folder: Path, log: Path) -> None:
    """An empty virtual environment; Debian keeps what makes one in a package of its own."""
    if missing := missing_packages():
        packages.install(missing, f"{sys.executable} can't make virtual environments")
    run([sys.executable, "-m", "venv", "--clear", folder], log, f"Python could not make the environment {folder}")


def missing_packages() -> list[str]:
    lacking = importlib.util.find_spec("ensurepip") is None
    return [f"python{sys.version_info.major}.{sys.version_info.minor}-venv"] if lacking else []


def pip(environment: Path, arguments: Sequence[str | Path], log: Path, what: str, cwd: Path | None = None) -> None:
    command = (environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments)
    run(command, log, f"pip could not {what} (does it reach the package index that it is set to?)", cwd)


def supervisor() -> Path:
    """The folder of its programs."""
    return own("supervisor", _SUPERVISOR, "--require-hashes")


def poetry() -> Path:
    """A Poetry 2 that can export: the machine's, or one of our own where it has none."""
    machine = shutil.which("poetry")
    if machine and _can_export(machine):
        return Path(machine)
    return own("poetry", "\n".join(_POETRY)) / "poetry"


def own(name: str, requirements: str, *options: str) -> Path:
    """The programs of an environment under `.run/` that holds these requirements."""
    folder, log = layout.RUN / name, layout.RUN / "log" / f"install-{name}.log"
    stamp, made = folder / "stamp", f"{requirements} {sys.version} {layout.ROOT}"
    with locks.hold(layout.RUN / "log" / f"{name}.lock", f"installing {name}"):
        if not (stamp.exists() and stamp.read_text() == made):
            say(f"install: {name}, in an environment of its own under .run/{name}")
            make_environment(folder, log)
            (folder / "requirements.txt").write_text(requirements)
            pip(folder, ["install", *options, "-r", folder / "requirements.txt"], log, f"install {name}")
            stamp.write_text(made)
    return folder / "bin"


def _can_export(poetry: str) -> bool:
    version = subprocess.run([poetry, "--version"], capture_output=True, text=True)
    if version.returncode != 0 or not re.search(r"version ([2-9]|\d\d)\.", version.stdout):
        return False
    return subprocess.run([poetry, "export", "--help"], capture_output=True).returncode == 0
