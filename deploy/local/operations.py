"""`make books`, `make restore` and the like: calls the operators' tool and tells it where the running system is."""

import os
import shlex
import subprocess

import docker
import install
import layout
import postgresql
import replicas
import servers
import system
from console import Problem, confirm, say
from profiles import Profile

COMMANDS = ("books", "dead-letters", "events", "reconcile", "demo", "load")
"""Those that are passed on as they are."""


def run(profile: Profile, *command: str) -> int:
    """Returns the command's exit status."""
    if not profile.ports and command[0] != "token":
        raise Problem("The system was never started: `make up` first.")
    if profile.secure and system.in_docker(profile):
        return _run_inside(profile, *command)
    install.install(["operations"])
    environment = layout.inherited_environment() | (system.addresses(profile) if profile.ports else {})
    if system.in_docker(profile):
        environment["COMPOSE"] = shlex.join(docker.compose_program() or ())
    elif (programs := postgresql.programs()) is not None:
        environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    return subprocess.run([install.python("operations"), "-m", "operations", *command], env=environment).returncode


def restore(profile: Profile, file: str) -> None:
    """In an order in which each step can fail, and all be run again."""
    if not file:
        raise Problem("Which backup? `make restore FILE=backups/....dump`")
    _must(profile, "restore", "--check", file)
    confirm(
        f"The services are stopped, the database is replaced with {file} (what is there now is kept beside it), what"
        f" waits in the queues is moved to {file}.undelivered.jsonl, and all is started again."
    )
    try:
        _stop_services(profile)
        _must(profile, "restore", file)
    except Problem as problem:
        sentence = (
            "The services are stopped. Put right what stands above and run it again; or, to stay with the database as"
            " it is, `make up` and `make reconcile`."
        )
        raise Problem(sentence, f"{problem.detail}\n{problem}".strip()) from None
    system.up(profile)
    say("What the services know of each other no more (`make reconcile` does this again, with the gateway's report):")
    _must(profile, "reconcile")


def _must(profile: Profile, *command: str) -> None:
    if run(profile, *command) != 0:
        raise Problem(f"{command[0]} could not do it: what it says stands above.")


def _stop_services(profile: Profile) -> None:
    """Stops the services and sees to it that their servers run."""
    if system.in_docker(profile):
        if docker.compose(["stop", *layout.SERVICES]) or docker.compose(["up", "-d", "--wait", *servers.PAIR]):
            raise Problem("Docker could not stop the services, or start their servers: what compose says stands above.")
        return
    for name in replicas.of_services(profile):
        servers.stop_one(profile, name)
    servers.up(profile, definitions=True)


def _run_inside(profile: Profile, *command: str) -> int:
    """In a container of its own: from outside nothing but the edge can be reached."""
    if command[0] in ("backup", "restore", "reconcile"):
        program = "PGPASSWORD=$(cat /run/own/password) pg_dump -U postgres -Fc order_processing"
        line = f"{docker.typed(secure=True)} exec -T postgres sh -c '{program}' > FILE"
        raise Problem(f"`make {command[0]}` is for the secure system natively. In Docker a backup is `{line}`.")
    return system.compose(profile, "run", "--rm", "-T", "operations", *command)
