"""`make backup`, `make restore`, `make reconcile`: what programs of the system tests do, in an order in which each step
can fail and all be run again."""

import os
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import docker
import install
import layout
import postgresql
import servers
import system
from console import Problem, say, shown
from profiles import SYSTEM, Profile


def backup(profile: Profile, file: str) -> None:
    name = Path(file) if file else layout.ROOT / "backups" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
    _run(profile, "backups.py", "dump", shown(name.absolute()))


def restore(profile: Profile, file: str) -> None:
    if not file:
        raise Problem("Which backup? `make restore FILE=backups/....dump`")
    undelivered = f"{file}.undelivered.jsonl"
    _run(profile, "backups.py", "check", file)
    say(f"The services are stopped, the database is replaced with {file} (what is there now is kept beside it),")
    say(f"what waits in the queues is moved to {undelivered}, and all is started again.")
    try:
        _stop_services(profile)
        _run(profile, "backups.py", "load", file)
        _run(profile, "undelivered.py", undelivered)
        _run(profile, "backups.py", "swap")
    except Problem as problem:
        sentence = (
            "The services are stopped. Put right what stands above and run it again; or, to stay with the database as"
            " it is, `make up` and `make reconcile`."
        )
        raise Problem(sentence, f"{problem.detail}\n{problem}".strip()) from None
    system.up(profile)
    say("What the services know of each other no more (`make reconcile` does this again, with the gateway's report):")
    reconcile(profile, "")


def reconcile(profile: Profile, arguments: str) -> None:
    _run(profile, "reconcile.py", *shlex.split(arguments))


def _stop_services(profile: Profile) -> None:
    """Stops the services and sees to it that their servers run."""
    if _in_docker(profile):
        if docker.compose(["stop", *layout.SERVICES]) or docker.compose(["up", "-d", "--wait", *servers.PAIR]):
            raise Problem("Docker could not stop the services, or start their servers: what compose says stands above.")
        return
    for name in layout.SERVICES:
        servers.stop_one(profile, name)
    servers.up(profile, definitions=True)


def _in_docker(profile: Profile) -> bool:
    return profile.mode == "docker" and profile.name == SYSTEM


def _run(profile: Profile, program: str, *arguments: str) -> None:
    if not profile.ports:
        raise Problem("The system was never started: `make up` first.")
    install.install(["system-tests"])
    environment = layout.inherited_environment() | system.addresses(profile)
    if _in_docker(profile):
        environment["COMPOSE"] = shlex.join(docker.compose_program() or ())
    elif (programs := postgresql.programs()) is not None:
        environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    command: list[str | Path] = [install.python("system-tests"), layout.ROOT / "system-tests" / program, *arguments]
    if subprocess.run(command, env=environment).returncode != 0:
        raise Problem(f"{program} could not do it: what it says stands above.")
