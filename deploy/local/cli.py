"""The commands. What has a line in the Makefile is for people; the rest is for tests, benchmarks and the curious."""

import argparse
import difflib
import json
import os
import shlex
import signal
import subprocess
import sys
from types import FrameType

import backup
import checks
import docker
import install
import layout
import locks
import logs
import profiles
import servers
import suites
import supervisor
import system
import tools
from console import Problem, confirm, report, say, shown

_TOOLS = {
    "demo": (["demo.py"], "place orders and show how they end"),
    "load": (["load.py"], "place many orders, wait for their ends and check the books"),
    "books": (["books.py"], "whether orders, stock, holds and payments agree"),
    "dead-letters": (["-m", "chassis.dead_letters"], "list, show, redrive or drop dead letters: COMMAND [SERVICE ...]"),
}
_BENCH = "bench/bench.py"


def main() -> int:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell starts with it ignored
    try:
        _refuse_unknown_variables()
        return int(_COMMANDS[options.command](options) or 0)
    except Problem as problem:
        report(problem)
        return 1
    except KeyboardInterrupt:
        say()
        return 0 if options.command == "logs" else 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy/local/run.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, text: str, *flags: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        if "profile" in flags:
            command.add_argument("--profile", default=profiles.SYSTEM, help="whose: a folder under .run/")
        if "arguments" in flags:
            command.add_argument("--arguments", default=os.environ.get("ARGS", ""), help="its own (default: $ARGS)")
        for flag in {"only", "changed", "file"}.intersection(flags):
            command.add_argument(f"--{flag}", default="")
        return command

    add("install", "fill each project's .venv").add_argument("names", nargs="*")
    add("poetry", "print the path of the Poetry that is used here")
    add("up", "start servers and services", "profile")
    add("down", "stop them", "profile")
    add("reset", "stop them and forget all data", "profile")
    add("status", "what runs", "profile")
    env = add("env", "the addresses as variables", "profile")
    env.add_argument("--json", action="store_true")
    env.add_argument("--running", action="store_true", help="only if both servers run; status 1 if not")
    add("logs", "follow the services' logs", "profile", "only")
    pair = add("servers", "PostgreSQL and RabbitMQ alone", "profile")
    pair.add_argument("action", choices=("up", "down"))
    pair.add_argument("--definitions", action=argparse.BooleanOptionalAction, help="load the topology (system: yes)")
    for action in ("start", "stop", "kill", "restart"):
        one = add(action, f"{action} one server or service of a native profile", "profile")
        one.add_argument("name", choices=(*servers.PAIR, *layout.SERVICES))
    add("backup", "write a backup of the database", "profile", "file")
    add("restore", "make the database anew from a backup", "profile", "file")
    add("reconcile", "make the books agree after a restore", "profile", "arguments")
    add("chaos", "the whole system under load and seeded faults (SEED, MINUTES), on servers of its own", "arguments")
    add("bench", "floor, baseline and system side by side, on servers of their own", "arguments")
    add("mutate", "mutants of the code against its tests, on servers of its own", "only", "changed", "arguments")
    add("test", "run all tests on servers of their own", "only", "arguments")
    add("check", "format, lint, types, layers, lock files, contracts", "only")
    for name, (_, text) in _TOOLS.items():
        add(name, text, "arguments")
    return parser


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


def _install(options: argparse.Namespace) -> None:
    names = options.names or layout.projects()
    install.install(names)
    say(f"Installed: {', '.join(names)}.")


def _poetry(_: argparse.Namespace) -> None:
    sys.stdout, output = sys.stderr, sys.stdout
    output.write(f"{tools.poetry()}\n")


def _change(options: argparse.Namespace) -> None:
    with profiles.changing(options.profile):
        profile = profiles.load(options.profile)
        if options.command == "up":
            system.up(profile)
        elif options.command == "down":
            system.down(profile)
            say("All is down; the data is kept.")
        else:
            if profile.mode and profile.name == profiles.SYSTEM:
                confirm("All orders, stock, payments, messages and logs of this system will be gone.")
            system.reset(profile)
            say("All is down, and the data is gone.")


def _servers(options: argparse.Namespace) -> None:
    with profiles.changing(options.profile):
        profile = profiles.load(options.profile)
        if options.action == "down":
            servers.down(profile)
            return
        definitions = options.definitions
        if definitions is None:
            definitions = profile.name == profiles.SYSTEM
        profile.mode = profile.mode or servers.mode()
        servers.up(profile, definitions=definitions)
    servers.introduce(profile)


def _one(options: argparse.Namespace) -> None:
    name, action = options.name, options.command
    with profiles.changing(options.profile):
        profile = profiles.load(options.profile)
        if not profile.ports:
            raise Problem(f"'{profile.name}' was never started: `make up` starts the system.")
        if system.in_docker(profile):
            raise Problem(f"The system runs in Docker: `docker compose {action} {name}`.")
        module = servers if name in servers.PAIR else system
        if action in ("stop", "restart"):
            module.stop_one(profile, name)
        if action == "kill":
            module.kill_one(profile, name)
        if action in ("start", "restart"):
            module.start_one(profile, name)


def _status(options: argparse.Namespace) -> None:
    profile = profiles.load(options.profile)
    if system.in_docker(profile):
        docker.compose(["ps"])
        return
    states = supervisor.states(profile)
    for name in (*servers.PAIR, *layout.SERVICES):
        up = servers.is_up(profile, name)
        state = f"up, port {profile.ports[name]}" if up else "down"
        detail = f", {states[name]['description']}" if up and name in states else ""
        say(f"{name:<21} {state}{detail}, log {shown(profile.log(name))}")


def _env(options: argparse.Namespace) -> None:
    profile = profiles.load(options.profile)
    if options.running and not system.servers_run(profile):
        raise Problem(f"The servers of '{profile.name}' don't run: `make up` starts the system.")
    addresses = system.addresses(profile)
    if options.json:
        say(json.dumps(addresses))
        return
    for name, value in addresses.items():
        say(f"export {name}={shlex.quote(value)}")


def _logs(options: argparse.Namespace) -> None:
    if options.only not in ("", *layout.SERVICES):
        raise Problem(f"SERVICE={options.only} is no service: choose one of {', '.join(layout.SERVICES)}.")
    logs.follow(profiles.load(options.profile), [options.only] if options.only else layout.SERVICES)


def _backup(options: argparse.Namespace) -> None:
    backup.backup(profiles.load(options.profile), options.file)


def _restore(options: argparse.Namespace) -> None:
    if options.file:
        confirm(f"The database of the system will be replaced with {options.file}.")
    with profiles.changing(options.profile):
        backup.restore(profiles.load(options.profile), options.file)


def _reconcile(options: argparse.Namespace) -> None:
    backup.reconcile(profiles.load(options.profile), options.arguments)


def _chaos(options: argparse.Namespace) -> int:
    return suites.run("chaos", "system-tests", layout.SERVICES, ["-m", "chaos"], options.arguments)


def _bench(options: argparse.Namespace) -> int:
    # Natively, also where Docker answers: what runs in a container can't be told apart from outside.
    return suites.run("bench", "bench", layout.SERVICES, [_BENCH], options.arguments, cwd=layout.ROOT, native=True)


def _mutate(options: argparse.Namespace) -> int:
    others = [name for name in layout.projects() if name not in ("bench", "mutation")]
    program = ["mutate.py", "--only", options.only, "--changed", options.changed]
    with locks.hold(layout.RUN / "mutate" / "lock", "mutating"):
        return suites.run("mutants", "mutation", others, program, options.arguments)


def _test(options: argparse.Namespace) -> int:
    return suites.test(options.only, options.arguments)


def _check(options: argparse.Namespace) -> bool:
    return not checks.run(options.only)


def _tool(options: argparse.Namespace) -> int:
    """Runs a program of the system tests against the running system, which it finds in the environment."""
    profile = profiles.load(profiles.SYSTEM)
    if not profile.ports:
        raise Problem("The system was never started: `make up` first.")
    install.install(["system-tests"])
    program, _ = _TOOLS[options.command]
    environment = layout.inherited_environment() | system.addresses(profile)
    arguments = shlex.split(options.arguments)
    if options.command == "dead-letters" and not arguments:
        arguments = ["list", *layout.SERVICES]
    return subprocess.run(
        [install.python("system-tests"), *program, *arguments],
        cwd=layout.ROOT / "system-tests",
        env=environment,
    ).returncode


_COMMANDS = {
    "install": _install,
    "poetry": _poetry,
    **dict.fromkeys(("up", "down", "reset"), _change),
    "status": _status,
    "env": _env,
    "logs": _logs,
    "servers": _servers,
    **dict.fromkeys(("start", "stop", "kill", "restart"), _one),
    "backup": _backup,
    "restore": _restore,
    "reconcile": _reconcile,
    "chaos": _chaos,
    "bench": _bench,
    "mutate": _mutate,
    "test": _test,
    "check": _check,
    **dict.fromkeys(_TOOLS, _tool),
}
