"""The same system, or its two servers alone, by `docker compose`."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import layout
from console import Problem

COMPOSE_FILE = layout.ROOT / "docker-compose.yml"
# As the overlay's first lines say; it names a project of its own.
_SECURE = ("-f", "docker-compose.yml", "-f", "docker-compose.secure.yml")


@functools.cache
def answers() -> bool:
    """Whether an engine, compose 2 and a compose file are there."""
    if not COMPOSE_FILE.exists() or compose_program() is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def compose(
    arguments: Sequence[str], *, project: str = "", secure: bool = False, env: Mapping[str, str] | None = None
) -> int:
    """Runs compose in the foreground and returns its exit code. Without a project it is the one of this folder, or of
    the secure overlay."""
    if compose_program() is None:
        raise Problem("Docker's compose (version 2) is missing: install it, or run natively with RUN_WITH=native.")
    environment = layout.inherited_environment() | dict(env or {})
    # Its progress goes to where ours goes, in order.
    sys.stdout.flush()
    return subprocess.run([*_command(project, secure), *arguments], cwd=layout.ROOT, env=environment).returncode


def containers(project: str = "", *, secure: bool = False) -> list[dict[str, str]]:
    """What compose knows of the project's containers: Service, State, Health, ..."""
    if compose_program() is None:
        return []
    command = [*_command(project, secure), "ps", "--all", "--format", "json"]
    try:
        text = subprocess.run(command, cwd=layout.ROOT, capture_output=True, text=True, timeout=60).stdout.strip()
    except subprocess.TimeoutExpired:
        raise Problem("Docker's engine does not answer: is it well?") from None
    # One array in older versions, an object a line in newer ones.
    rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines() if line]
    return [row for row in rows if isinstance(row, dict)]


def _command(project: str, secure: bool) -> list[str]:
    return [*(compose_program() or ()), *(_SECURE if secure else ()), *(["-p", project] if project else [])]


def typed(*, secure: bool) -> str:
    """What a person types before a command of compose's."""
    return " ".join(("docker", "compose", *(_SECURE if secure else ())))


def is_local() -> bool:
    """Whether the engine's ports are this machine's."""
    return os.environ.get("DOCKER_HOST", "unix://").startswith(("unix:", "npipe:"))


@functools.cache
def compose_program() -> tuple[str, ...] | None:
    """How compose 2 is called on this machine."""
    for program in (("docker", "compose"), ("docker-compose",)):
        try:
            answer = subprocess.run([*program, "version", "--short"], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.returncode == 0 and not answer.stdout.lstrip("v").startswith("1."):
            return program
    return None
