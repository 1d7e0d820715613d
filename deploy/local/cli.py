"""The commands. What has a line in the Makefile is for people; the rest is for tests, benchmarks and the curious."""

import argparse
import json
import os
import shlex
import signal
import sys
from types import FrameType

import checks
import docker
import install
import layout
import locks
import logs
import operations
import poetry_tool
import profiles
import servers
import suites
import system
from console import Problem, report, say, shown


def main() -> int:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell starts with it ignored
    try:
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

    def add(name: str, text: str, *, profile: bool = False) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        if profile:
            command.add_argument("--profile", default=profiles.SYSTEM, help="whose: a folder under .run/")
        return command

    add("install", "fill each project's .venv").add_argument("names", nargs="*")
    add("poetry", "print the path of the Poetry that is used here")
    add("up", "start servers and services", profile=True)
    add("down", "stop them", profile=True)
    add("reset", "stop them and forget all data", profile=True)
    add("status", "what runs", profile=True)
    env = add("env", "the addresses as variables", profile=True)
    env.add_argument("--json", action="store_true")
    env.add_argument("--running", action="store_true", help="only if both servers run; status 1 if not")
    add("logs", "follow the services' logs", profile=True).add_argument("--only", default="")
    pair = add("servers", "PostgreSQL and RabbitMQ alone", profile=True)
    pair.add_argument("action", choices=("up", "down"))
    pair.add_argument("--definitions", action=argparse.BooleanOptionalAction, help="load the topology (system: yes)")
    for action in ("start", "stop", "kill", "restart"):
        one = add(action, f"{action} one server or service of a native profile", profile=True)
        one.add_argument("name", choices=(*servers.PAIR, *layout.SERVICES))
    add("backup", "write a backup of the database", profile=True).add_argument("--file", default="")
    add("restore", "make the database anew from a backup", profile=True).add_argument("--file", default="")
    add("chaos", "the whole system under load and seeded faults (SEED, MINUTES), on servers of its own").add_argument(
        "--arguments", default=os.environ.get("ARGS", ""), help="its own (default: $ARGS)"
    )
    add("bench", "floor, baseline and system side by side, on servers of their own").add_argument(
        "--arguments", default=os.environ.get("ARGS", ""), help="its own (default: $ARGS)"
    )
    mutants = add("mutate", "mutants of the code against its tests, on servers of its own")
    mutants.add_argument("--only", default="")
    mutants.add_argument("--changed", default="")
    mutants.add_argument("--arguments", default=os.environ.get("ARGS", ""), help="its own (default: $ARGS)")
    tests = add("test", "run all tests on servers of their own")
    tests.add_argument("--only", default="")
    tests.add_argument("--arguments", default=os.environ.get("ARGS", ""), help="pytest's (default: $ARGS)")
    add("check", "format, lint, types, layers, lock files, contracts").add_argument("--only", default="")
    for name, text in operations.COMMANDS.items():
        add(name, text, profile=True).add_argument(
            "--arguments", default=os.environ.get("ARGS", ""), help="its own (default: $ARGS)"
        )
    return parser


def _terminated(*_: int | FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _install(options: argparse.Namespace) -> None:
    names = options.names or layout.projects()
    install.install(names)
    say(f"Installed: {', '.join(names)}.")


def _poetry(_: argparse.Namespace) -> None:
    sys.stdout, output = sys.stderr, sys.stdout
    output.write(f"{poetry_tool.provide()}\n")


def _change(options: argparse.Namespace) -> None:
    with profiles.changing(options.profile):
        profile = profiles.load(options.profile)
        if options.command == "up":
            system.up(profile)
        elif options.command == "down":
            system.down(profile)
            say("All is down; the data is kept.")
        else:
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
        module = servers if name in servers.PAIR else system
        if action in ("stop", "restart"):
            module.stop_one(profile, name)
        if action == "kill":
            module.kill_one(profile, name)
        if action in ("start", "restart"):
            module.start_one(profile, name)


def _status(options: argparse.Namespace) -> None:
    profile = profiles.load(options.profile)
    if profile.mode == "docker" and profile.name == profiles.SYSTEM:
        docker.compose(["ps"])
        return
    for name in (*servers.PAIR, *layout.SERVICES):
        state = f"up, port {profile.ports[name]}" if servers.is_up(profile, name) else "down"
        say(f"{name:<21} {state}, log {shown(profile.log(name))}")


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


def _backup(options: argparse.Namespace) -> int:
    return operations.run(profiles.load(options.profile), "backup", *([options.file] if options.file else []))


def _restore(options: argparse.Namespace) -> None:
    with profiles.changing(options.profile):
        operations.restore(profiles.load(options.profile), options.file)


def _operate(options: argparse.Namespace) -> int:
    return operations.run(profiles.load(options.profile), options.command, *shlex.split(options.arguments))


def _chaos(options: argparse.Namespace) -> int:
    install.install(["system-tests", *layout.SERVICES])
    with suites.private_servers("chaos") as addresses:
        command = [str(install.python("system-tests")), "-m", "chaos", *shlex.split(options.arguments)]
        return suites.attended(command, layout.ROOT / "system-tests", layout.inherited_environment() | addresses)


def _bench(options: argparse.Namespace) -> int:
    servers.provide()  # natively, also where Docker answers: what runs in a container can't be told apart from outside
    install.install(["bench", *layout.SERVICES])
    with suites.private_servers("bench") as addresses:
        command = [str(install.python("bench")), "bench/bench.py", *shlex.split(options.arguments)]
        return suites.attended(command, layout.ROOT, layout.inherited_environment() | addresses)


def _mutate(options: argparse.Namespace) -> int:
    install.install(["mutation", *(name for name in layout.projects() if name not in ("bench", "mutation"))])
    busy = locks.hold(layout.RUN / "mutate" / "lock", "mutating")
    with busy, suites.private_servers("mutants") as addresses:
        command = [str(install.python("mutation")), "mutate.py", "--only", options.only, "--changed", options.changed]
        environment = layout.inherited_environment() | addresses | {"REQUIRE_SERVERS": "1"}
        return suites.attended([*command, *shlex.split(options.arguments)], layout.ROOT / "mutation", environment)


def _test(options: argparse.Namespace) -> bool:
    return not suites.run(options.only, options.arguments)


def _check(options: argparse.Namespace) -> bool:
    return not checks.run(options.only)


_COMMANDS = {
    "install": _install,
    "poetry": _poetry,
    "up": _change,
    "down": _change,
    "reset": _change,
    "status": _status,
    "env": _env,
    "logs": _logs,
    "servers": _servers,
    "start": _one,
    "stop": _one,
    "kill": _one,
    "restart": _one,
    "backup": _backup,
    "restore": _restore,
    "chaos": _chaos,
    "bench": _bench,
    "mutate": _mutate,
    "test": _test,
    "check": _check,
    **dict.fromkeys(operations.COMMANDS, _operate),
}
