"""The commands. What has a line in the Makefile is for people; the rest is for tests, benchmarks and the curious."""

import argparse
import difflib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import checks
import contracts
import docker
import install
import layout
import locks
import operations
import profiles
import replicas
import servers
import suites
import supervisor
import supply_chain
import system
import tools
from console import Problem, confirm, report, say, shown

Options = argparse.Namespace
Command = Callable[[Options], int | None]

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "names": {"nargs": "*"},
    "name": {},
    "action": {"choices": ("up", "down")},
    "--profile": {"default": "", "help": "whose: a folder under .run/ (default: by SECURE, else what runs)"},
    "--role": {"default": ""},
    "--sub": {"default": ""},
    "--arguments": {"default": os.environ.get("ARGS", ""), "help": "its own (default: $ARGS)"},
    "--only": {"default": ""},
    "--changed": {"default": ""},
    "--file": {"default": ""},
    "--check": {"action": "store_true", "help": "write nothing; status 1 if anything would be written"},
    "--json": {"action": "store_true"},
    "--running": {"action": "store_true", "help": "only if both servers run; status 1 if not"},
    "--definitions": {"action": argparse.BooleanOptionalAction, "help": "load the topology (system: yes)"},
}
_commands: dict[str, tuple[Command, tuple[str, ...]]] = {}


def command(*arguments: str, names: str = "") -> Callable[[Command], Command]:
    """Makes a function a command, by its own name or several; its docstring is the help."""

    def register(function: Command) -> Command:
        for name in names.split() or [function.__name__.strip("_")]:
            _commands[name] = function, arguments
        return function

    return register


def main() -> int:
    parser = argparse.ArgumentParser(prog="deploy/local/run.py", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, (function, arguments) in _commands.items():
        subparser = subparsers.add_parser(name, help=function.__doc__, description=function.__doc__)
        for argument in arguments:
            subparser.add_argument(argument, **_ARGUMENTS[argument])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell starts with it ignored
    try:
        _refuse_unknown_variables()
        layout.keep_private()
        if getattr(options, "profile", None) == "":
            options.profile = _profile(options.command)
        return _commands[options.command][0](options) or 0
    except Problem as problem:
        report(problem)
        return 1
    except KeyboardInterrupt:
        say()
        return 0 if options.command == "logs" else 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _profile(command: str) -> str:
    """Who forgets SECURE=1 means the secure system all the same if nothing else runs."""
    name = profiles.wanted()
    others = name == profiles.SYSTEM and command not in ("up", "reset", "servers") and "SECURE" not in os.environ
    secure = profiles.SECURE
    if others and system.anything_runs(profiles.load(secure)) and not system.anything_runs(profiles.load(name)):
        return secure
    return name


def _terminated(*_: int | FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _refuse_unknown_variables() -> None:
    """A misspelt variable on make's command line would change nothing, and nobody would be told."""
    known = layout.settings() | layout.MAKE_VARIABLES
    for name in os.environ.get("COMMAND_LINE", "").split():
        if name not in known:
            alike = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {alike[0]}? " if alike else ""
            raise Problem(f"There is no variable {name}: {hint}.env.example lists the settings, `make help` the rest.")


@command("names")
def _install(options: Options) -> None:
    """fill each project's .venv"""
    names = options.names or layout.projects()
    install.install(names)
    say(f"Installed: {', '.join(names)}.")


@command()
def _poetry(_: Options) -> None:
    """print the path of the Poetry that is used here"""
    sys.stdout, output = sys.stderr, sys.stdout
    output.write(f"{tools.poetry()}\n")


@command("--profile", names="up down reset")
def _change(options: Options) -> None:
    """start servers and services; stop them; stop them and forget all data"""
    with profiles.changing(options.profile):
        profile = profiles.load(options.profile)
        if options.command == "up":
            system.up(profile)
        elif options.command == "down":
            system.down(profile)
            say("All is down; the data is kept.")
        else:
            if profile.mode and profile.personal:
                confirm("All orders, stock, payments, messages and logs of this system will be gone.")
            system.reset(profile)
            say("All is down, and the data is gone.")


@command("--profile", "action", "--definitions")
def _servers(options: Options) -> None:
    """PostgreSQL and RabbitMQ alone"""
    with profiles.changing(options.profile):
        profile = profiles.load(options.profile)
        if options.action == "down":
            servers.down(profile)
            return
        definitions = options.definitions
        if definitions is None:
            definitions = profile.personal
        profile.mode = profile.mode or servers.mode()
        servers.up(profile, definitions=definitions)
    servers.introduce(profile)


@command("--profile", "name", names="start stop kill restart")
def _one(options: Options) -> None:
    """one server or service of a native profile"""
    name, action = options.name, options.command
    with profiles.changing(options.profile):
        profile = profiles.load(options.profile)
        if not profile.ports:
            raise Problem(f"'{profile.name}' was never started: `make up` starts the system.")
        _refuse_unknown(name, (*servers.PAIR, *_processes(profile)))
        if system.in_docker(profile):
            raise Problem(f"The system runs in Docker: `{docker.typed(secure=profile.secure)} {action} {name}`.")
        if action in ("stop", "restart"):
            servers.stop_one(profile, name)
        if action == "kill":
            servers.kill_one(profile, name)
        if action in ("start", "restart"):
            (servers if name in servers.PAIR else system).start_one(profile, name)
    say(f"{name} is {'stopped' if action in ('stop', 'kill') else 'started'}.")


def _processes(profile: profiles.Profile) -> Sequence[str]:
    """In Docker, compose alone knows how many there are of each service."""
    names = replicas.processes(profile)
    return names if replicas.of_services(profile) else [*layout.SERVICES, *names]


def _refuse_unknown(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise Problem(f"There is no {name} here: choose one of {', '.join(known)}.")


@command("--profile")
def _status(options: Options) -> None:
    """what runs"""
    profile = profiles.load(options.profile)
    if system.in_docker(profile):
        system.compose(profile, "ps")
        return
    states = supervisor.states(profile)
    for name in (*servers.PAIR, *_processes(profile)):
        up = servers.is_up(profile, name)
        state = f"up, port {profile.ports[name]}" if up else "down"
        detail = f", {states[name]['description']}" if up and name in states else ""
        say(f"{name:<21} {state}{detail}, log {shown(profile.log(name))}")


@command("--profile", "--json", "--running")
def _env(options: Options) -> None:
    """the addresses as variables"""
    profile = profiles.load(options.profile)
    if options.running and not system.servers_run(profile):
        raise Problem(f"The servers of '{profile.name}' don't run: `make up` starts the system.")
    addresses = system.addresses(profile)
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in addresses.items())
    say(json.dumps(addresses) if options.json else exports)


@command("--profile", "--only")
def _logs(options: Options) -> int:
    """follow the services' logs"""
    profile = profiles.load(options.profile)
    names = _processes(profile)
    if options.only:
        _refuse_unknown(options.only, names)
        names = [options.only]
    if system.in_docker(profile):
        return system.compose(profile, "logs", "--follow", "--tail", "20", *names)
    if not any(profile.log(name).exists() for name in names):
        raise Problem("There are no logs yet: `make up` starts the system.")
    return subprocess.run(["tail", "-n", "20", "-F", *(shown(profile.log(name)) for name in names)]).returncode


@command("--profile", "--file")
def _backup(options: Options) -> int:
    """write a backup of the database"""
    return operations.run(profiles.load(options.profile), "backup", *([options.file] if options.file else []))


@command("--profile", "--file")
def _restore(options: Options) -> None:
    """make the database anew from a backup"""
    with profiles.changing(options.profile):
        operations.restore(profiles.load(options.profile), options.file)


@command("--profile", "--arguments", names=" ".join(operations.COMMANDS))
def _operate(options: Options) -> int:
    """a command of the operators' tool, on the running system"""
    return operations.run(profiles.load(options.profile), options.command, *shlex.split(options.arguments))


@command("--profile", "--role", "--sub", "--arguments")
def _token(options: Options) -> int:
    """print an access token, and nothing else"""
    sys.stdout = sys.stderr
    profile = profiles.load(options.profile)
    if not profile.secure:
        say("(In development nobody asks for a token: `make up SECURE=1` starts a system that does.)")
    if not options.role:
        raise Problem("Whose? `make token ROLE=staff`, or `make token ROLE=customer SUB=<uuid>`.")
    words = [*options.role.split(), *(["--sub", options.sub] if options.sub else []), *shlex.split(options.arguments)]
    return operations.run(profile, "token", *words)


@command("--arguments")
def _chaos(options: Options) -> int:
    """the whole system under load and seeded faults (SEED, MINUTES), on servers of its own"""
    return suites.run("chaos", "system-tests", layout.SERVICES, ["-m", "chaos"], options.arguments)


@command("--arguments")
def _bench(options: Options) -> int:
    """floor, baseline and system side by side, on servers of their own"""
    if "--help" not in options.arguments:
        # Natively, also where Docker answers: a container's processes can't be told apart from outside.
        servers.provide()
    return suites.run("bench", "bench", (*layout.SERVICES, "console"), ["bench.py"], options.arguments)


@command("--only", "--changed", "--arguments")
def _mutate(options: Options) -> int:
    """mutants of the code against its tests, on servers of its own"""
    others = [name for name in layout.projects() if name not in ("bench", "mutation")]
    program = ["mutate.py", "--only", options.only, "--changed", options.changed]
    with locks.hold(layout.RUN / "mutate" / "lock", "mutating"):
        return suites.run("mutants", "mutation", others, program, options.arguments)


@command(names="sbom audit pin")
def _supply_chain(options: Options) -> int | None:
    """list the packages of the images; ask for known holes in them; pin images and actions"""
    act: Callable[[], int | None] = getattr(supply_chain, options.command)
    return act()


@command("--only", "--arguments")
def _test(options: Options) -> int:
    """run all tests on servers of their own"""
    return suites.test(options.only, options.arguments)


@command("--only", names="test-all")
def _test_all(options: Options) -> int:
    """system tests, restore drill and chaos, in development and in production"""
    return suites.test_all(options.only)


@command("--check")
def _contracts(options: Options) -> int:
    """write contracts, bindings and the table of events from what the services declare"""
    install.install(layout.SERVICES)
    wrong = contracts.run(check=options.check)
    say("\n".join(wrong) or "All is as it is declared.")
    return int(options.check and bool(wrong))


@command("--only")
def _check(options: Options) -> int:
    """format, lint, types, layers, lock files, contracts"""
    return int(not checks.run(options.only))
