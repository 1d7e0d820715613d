"""`make up`, `make down`, `make reset`: the four services on their two servers, natively or by Docker."""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import docker
import health
import install
import layout
import ports
import postgresql
import processes
import rabbitmq
import servers
from console import Problem, say, shown, size, tail
from profiles import SYSTEM, Profile

_HEALTHY_WITHIN_SECONDS = 60
_MIGRATED_WITHIN_SECONDS = 30 * 60  # of a million orders, too
_GRACE_SECONDS = 20  # for open requests; draining what has been committed comes on top


def up(profile: Profile) -> None:
    """Starts what does not run yet, and returns once all is healthy."""
    mode = _mode(profile)
    if profile.mode and mode != profile.mode and _anything_runs(profile):
        raise Problem(f"The system is up already, by other means ({profile.mode}): `make down` first.")
    profile.mode = mode
    if mode == "docker":
        _up_in_docker(profile)
    else:
        _up_natively(profile)
    _introduce(profile)


def down(profile: Profile) -> None:
    if profile.mode == "docker" and profile.name == SYSTEM:
        if docker.compose(["down", "--remove-orphans"]) != 0:
            raise Problem("Docker could not stop the system: what compose says stands above.")
        return
    _stop(profile, *layout.SERVICES)
    servers.down(profile)


def reset(profile: Profile) -> None:
    """Stops it and forgets all data: orders, stock, payments, messages, logs."""
    if profile.mode == "docker" and profile.name == SYSTEM:
        if docker.compose(["down", "-v", "--remove-orphans"]) != 0:
            raise Problem("Docker could not remove the system: what compose says stands above.")
    else:
        down(profile)
    profile.discard()


def start_one(profile: Profile, name: str) -> None:
    """Starts a service without waiting for it."""
    if profile.alive(name):
        return
    program = install.python(name).with_name("uvicorn")
    options = ("--no-access-log", "--timeout-graceful-shutdown", str(_GRACE_SECONDS))
    address = ("--host", "127.0.0.1", "--port", str(profile.ports[name]))
    command: tuple[str | Path, ...] = (program, "main:app", *address, *options)
    profile.record(name, processes.start(command, profile.log(name), _environment(profile, name), layout.ROOT / name))


def stop_one(profile: Profile, name: str) -> None:
    _stop(profile, name)


def kill_one(profile: Profile, name: str) -> None:
    """As a crash would: no chance to finish anything."""
    profile.kill(name)


def wait(profile: Profile, names: Sequence[str], logs_before: Mapping[str, int] | None = None) -> None:
    """Returns once these services are healthy. Raises Problem with the log of the first that ends or is late.

    `logs_before` holds the length that each log had, in bytes, before the start that is waited for.
    """
    deadline = time.monotonic() + _HEALTHY_WITHIN_SECONDS
    waiting = list(names)
    while True:
        answers = {name: health.ask(profile.ports[name]) for name in waiting}
        for name in names:  # who answered on its port may have been another program, and this one may have ended since
            if not profile.alive(name):
                log = profile.log(name)
                sentence = f"{name} ended at its start: its last lines stand above, all of them in {shown(log)}."
                raise Problem(sentence, tail(log, since=(logs_before or {}).get(name, 0)))
        waiting = [name for name in waiting if not health.is_well(name, *answers[name])]
        if not waiting:
            return
        if time.monotonic() > deadline:
            name = waiting[0]
            log, (status, body) = profile.log(name), answers[name]
            sentence = f"{name} is not healthy after {_HEALTHY_WITHIN_SECONDS} s: see above, and {shown(log)}."
            said = tail(log, 15, (logs_before or {}).get(name, 0))
            raise Problem(sentence, f"{said}\nGET {profile.ports[name]}/health: {status} {body}")
        time.sleep(0.1)


def addresses(profile: Profile) -> dict[str, str]:
    """Where servers and services are, by the names of the variables that tell programs."""
    urls = {f"{name.upper().replace('-', '_')}_URL": profile.ports.get(name) for name in layout.SERVICES}
    return servers.addresses(profile) | {name: f"http://127.0.0.1:{port}" for name, port in urls.items() if port}


def servers_run(profile: Profile) -> bool:
    """Whether both servers are this profile's own processes or containers, and run."""
    if profile.mode == "docker" and profile.name == SYSTEM:
        rows = docker.containers()
        if set(servers.PAIR) <= {row["Service"] for row in rows if row.get("State") == "running"}:
            return True
    return bool(profile.mode) and servers.running(profile)


def _mode(profile: Profile) -> str:
    wanted = layout.setting("RUN_WITH")
    if wanted not in ("", "native", "docker"):
        raise Problem(f"RUN_WITH is '{wanted}': set it to native or docker, or leave it out.")
    if wanted == "docker" and not docker.answers():
        raise Problem("RUN_WITH=docker, but no Docker engine with compose 2 answers: start it, or leave RUN_WITH out.")
    if profile.name != SYSTEM:
        return servers.mode()
    if not wanted and profile.mode and _anything_runs(profile):
        return profile.mode
    return wanted or ("docker" if docker.answers() else "native")


def _stop(profile: Profile, *names: str) -> None:
    """Ends services gently, all at the same time; says so of one that had to be killed."""
    known = {name: profile.processes[name] for name in names if name in profile.processes}
    killed = processes.stop(known.values(), signal.SIGTERM, seconds=_GRACE_SECONDS + 15)
    profile.forget(*known)
    for name, process in known.items():
        if process in killed:
            say(f"{name} did not end in time and was killed: see {shown(profile.log(name))}")


def _anything_runs(profile: Profile) -> bool:
    if profile.mode == "docker":
        return any(row.get("State") == "running" for row in docker.containers())
    return any(profile.alive(name) for name in profile.processes)


def _up_in_docker(profile: Profile) -> None:
    profile.ports = {name: ports.named(name) for name in layout.PORTS}
    if docker.is_local() and not docker.containers():
        ports.refuse_taken(profile.ports)
    profile.save()
    if docker.compose(["up", "--build", "-d", "--wait"]) == 0:
        return
    failing = [row["Service"] for row in docker.containers() if row.get("ExitCode") or row.get("Health") == "unhealthy"]
    for name in failing:
        docker.compose(["logs", "--tail", "30", "--no-log-prefix", name])
    named = f"{' and '.join(failing)} failed" if failing else "it could not be started"
    raise Problem(f"Docker could not bring the system up: {named}, as stands above.")


def _up_natively(profile: Profile) -> None:
    missing = [name for name in layout.SERVICES if not profile.alive(name)]
    if not missing and servers.running(profile):
        say("The system is up already.")
        wait(profile, layout.SERVICES)
        return
    # Nobody should wait for an installation to be told of a taken port, or that something else is missing.
    servers.choose_ports(profile)
    if profile.name == SYSTEM:
        chosen = {name: ports.named(name) for name in missing}
        ports.refuse_taken(servers.not_yet_held(profile) | chosen)
    else:
        chosen = dict(zip(missing, ports.choose(len(missing), avoiding=profile.ports.values()), strict=True))
    if profile.mode == "native":
        servers.provide()
    install.install(layout.SERVICES)
    profile.ports |= chosen
    servers.up(profile, definitions=True)
    servers.introduce(profile)
    migrate(profile)
    say(f"starting {', '.join(missing)}")
    logs_before = {name: size(profile.log(name)) for name in missing}
    for name in missing:
        start_one(profile, name)
    wait(profile, layout.SERVICES, logs_before)


def migrate(profile: Profile) -> None:
    """Brings all three schemas up to date at the same time; the migrations lock each other out where they must."""
    environment = _environment(profile) | {"DATABASE_URL": postgresql.url(profile)}
    running = {}
    for name in layout.DATABASE_ROLES:
        log = profile.log(f"migrate-{name}")
        with log.open("w") as output:
            running[name] = subprocess.Popen(
                [install.python(name).with_name("alembic"), "upgrade", "head"],
                cwd=layout.ROOT / name,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
    deadline = time.monotonic() + _MIGRATED_WITHIN_SECONDS
    try:
        failed = [name for name, process in running.items() if process.wait(max(deadline - time.monotonic(), 0))]
    except subprocess.TimeoutExpired:
        failed = [name for name, process in running.items() if process.poll() is None]
    finally:
        for process in running.values():
            process.kill()
    if failed:
        log = profile.log(f"migrate-{failed[0]}")
        raise Problem(f"The migration of {failed[0]} failed or did not end: see above, and {shown(log)}.", tail(log))


def _environment(profile: Profile, service: str = "") -> dict[str, str]:
    """What a service finds in its environment: `.env` first, the caller's variables over it, our addresses over all."""
    environment = {"LOG_FORMAT": "json"}
    if profile.name == SYSTEM:
        environment |= {name: value for name, value in layout.dotenv().items() if value}
    environment |= layout.inherited_environment()
    environment.pop("DATABASE_URL", None)
    environment["RABBITMQ_URL"] = rabbitmq.url(profile)
    if service in layout.DATABASE_ROLES:
        role = layout.DATABASE_ROLES[service]
        environment["DATABASE_URL"] = postgresql.url(profile, role, role)
    return environment


def _introduce(profile: Profile) -> None:
    say(f"\nThe system is up ({'in Docker' if profile.mode == 'docker' else 'natively'}):")
    for name in layout.SERVICES:
        say(f"  {name:<21} http://localhost:{profile.ports[name]}/docs")
    management = profile.ports["rabbitmq-management"]
    say(f"  {'RabbitMQ':<21} http://localhost:{management}  (admin / admin), AMQP on {profile.ports['rabbitmq']}")
    say(
        f"  {'PostgreSQL':<21} localhost:{profile.ports['postgres']}  (postgres / postgres), database {layout.DATABASE}"
    )
    if profile.mode == "native":
        say(f"  {'logs':<21} {shown(profile.home / 'log')}")
    if profile.name == SYSTEM:
        say("Next: `make demo` places orders and shows how each ends, `make logs` follows them, `make down` stops all.")
