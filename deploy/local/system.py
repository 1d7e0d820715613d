"""`make up`, `make down`, `make reset`: the four services on their two servers, natively or by Docker."""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import docker
import earlier
import edge
import health
import install
import layout
import observe
import packages
import page
import ports
import postgresql
import rabbitmq
import replicas
import secure
import servers
import supervisor
import tools
from console import Problem, say, shown, size, tail
from profiles import SYSTEM, Profile

_HEALTHY_WITHIN_SECONDS = 60
# The edge lets its connections idle for seconds only; a request must not meet one that the service just closes.
_HTTP = ("--http", "chassis.http.protocol:BoundedProtocol", "--timeout-keep-alive", "75")
_NOT_OF_SERVICES = {
    *(variable for variable, _ in layout.PORTS.values()),
    *(layout.replicas_variable(name) for name in layout.SERVICES),
    *("OBSERVE", "EDGE", *(name for name in layout.settings() if name.startswith("EDGE_"))),
    *("DATABASE_URL_FILE", "RABBITMQ_URL_FILE", "DATABASE_LOGINS", "DATABASE_LOGINS_FILE"),
    *("DATABASE_URL", "RABBITMQ_URL", "RABBITMQ_MANAGEMENT_URL", "RUN_WITH", "BIND_ADDRESS", "REQUIRE_SERVERS"),
}
_OBSERVED = ("--profile", "observe")
_BESIDE = (edge, observe, page)
"""What is started after the services."""
_OTHERS = {replicas.EDGE: edge.start, replicas.ISSUER: secure.start_issuer, replicas.CONSOLE: page.start} | {
    name: partial(observe.start, name=name) for name in observe.NAMES
}


def up(profile: Profile) -> None:
    """Starts what does not run yet, and returns once all is healthy."""
    mode = _mode(profile)
    if profile.mode and mode != profile.mode and anything_runs(profile):
        raise Problem(f"The system is up already, by other means ({profile.mode}): `make down` first.")
    profile.mode = mode
    if mode == "docker":
        _up_in_docker(profile)
    else:
        _up_natively(profile)
    _introduce(profile)


def down(profile: Profile) -> None:
    if in_docker(profile):
        if compose(profile, *_OBSERVED, "down", "--remove-orphans") != 0:
            raise Problem("Docker could not stop the system: what compose says stands above.")
        return
    servers.down(profile)


def reset(profile: Profile) -> None:
    """Stops it and forgets all data: orders, stock, payments, messages, logs."""
    if in_docker(profile):
        if compose(profile, *_OBSERVED, "down", "-v", "--remove-orphans") != 0:
            raise Problem("Docker could not remove the system: what compose says stands above.")
    else:
        down(profile)
    profile.discard()


def start_one(profile: Profile, name: str) -> None:
    """Starts a process of a service, or one of what runs beside them, without waiting for it."""
    if supervisor.alive(profile, name):
        return
    if name in _OTHERS:
        _OTHERS[name](profile)
        return
    service = replicas.service_of(name)
    program = install.python(service).with_name("uvicorn")
    options = (
        "--no-access-log",
        "--no-server-header",
        *_HTTP,
        "--timeout-graceful-shutdown",
        str(supervisor.GRACE_SECONDS),
    )
    address = ("--host", "127.0.0.1", "--port", str(profile.ports[name]))
    command = (program, "main:app", *address, *options)
    supervisor.launch(profile, name, command, _environment(profile, name), layout.ROOT / service)


def wait(profile: Profile, names: Sequence[str], logs_before: Mapping[str, int] | None = None) -> None:
    """Returns once these services are healthy. Raises Problem with the log of the first that ends or is late.

    `logs_before` holds the length that each log had, in bytes, before the start that is waited for.
    """
    since = logs_before or {}
    deadline = time.monotonic() + _HEALTHY_WITHIN_SECONDS
    pids: dict[str, int] = {}
    while True:
        answers = {name: health.ask(replicas.health_port(profile, name)) for name in names}
        for name in names:  # who answered on its port may have been another program
            pids[name] = supervisor.must_run(profile, name, since.get(name, 0), first_pid=pids.get(name, 0))
        waiting = [name for name in names if not health.is_well(replicas.service_of(name), *answers[name])]
        if not waiting:
            return
        if time.monotonic() > deadline:
            name = waiting[0]
            log, (status, body) = profile.log(name), answers[name]
            sentence = f"{name} is not healthy after {_HEALTHY_WITHIN_SECONDS} s: see above, and {shown(log)}."
            said = tail(log, 15, since.get(name, 0))
            raise Problem(sentence, f"{said}\nGET {replicas.health_port(profile, name)}/health: {status} {body}")
        time.sleep(0.1)


def addresses(profile: Profile) -> dict[str, str]:
    """Where servers and services are, by the names of the variables that tell programs."""
    if profile.secure:
        return servers.addresses(profile)
    urls = {f"{name.upper().replace('-', '_')}_URL": profile.ports.get(name) for name in layout.SERVICES}
    return servers.addresses(profile) | {name: f"http://127.0.0.1:{port}" for name, port in urls.items() if port}


def in_docker(profile: Profile) -> bool:
    """Whether it is the whole system in Docker; other profiles have at most their two servers there."""
    return profile.mode == "docker" and (profile.name == SYSTEM or profile.secure)


def compose(profile: Profile, *arguments: str) -> int:
    """Compose's exit code, with the profile's files, project and ports."""
    variables = {layout.PORTS[name][0]: str(port) for name, port in profile.ports.items() if name in layout.PORTS}
    return docker.compose(arguments, project=_project(profile), secure=profile.secure, env=variables)


def _project(profile: Profile) -> str:
    return "" if profile.personal else servers.project(profile)


def _containers(profile: Profile) -> list[dict[str, str]]:
    return docker.containers(_project(profile), secure=profile.secure)


def servers_run(profile: Profile) -> bool:
    """Whether both servers are this profile's own processes or containers, and run."""
    if in_docker(profile):
        rows = _containers(profile)
        if set(servers.PAIR) <= {row["Service"] for row in rows if row.get("State") == "running"}:
            return True
    return bool(profile.mode) and servers.running(profile)


def _mode(profile: Profile) -> str:
    wanted = layout.setting("RUN_WITH")
    if wanted not in ("", "native", "docker"):
        raise Problem(f"RUN_WITH is '{wanted}': set it to native or docker, or leave it out.")
    if wanted == "docker" and not docker.answers():
        raise Problem("RUN_WITH=docker, but no Docker engine with compose 2 answers: start it, or leave RUN_WITH out.")
    if profile.secure:
        # Docker only where somebody says so: natively there are files to look at, backup and restore.
        if wanted != "docker":
            secure.refuse_other_ways()
        elif (profile.home / "secrets").exists():
            place = shown(profile.home)
            raise Problem(
                f"{place} is the secure system natively: leave RUN_WITH=docker out, or `make reset SECURE=1`."
            )
        return wanted or "native"
    if profile.name != SYSTEM:
        return servers.mode()
    if not wanted and profile.mode and anything_runs(profile):
        return profile.mode
    return wanted or ("docker" if docker.answers() else "native")


def anything_runs(profile: Profile) -> bool:
    if profile.mode == "docker":
        return any(row.get("State") == "running" for row in _containers(profile))
    return supervisor.runs(profile) or earlier.runs(profile)


def _up_in_docker(profile: Profile) -> None:
    wanted = replicas.instances()
    if not profile.secure and (edge.wanted(profile) or wanted != list(layout.SERVICES)):
        raise Problem("EDGE and replicas are for RUN_WITH=native; in Docker SECURE=1 has both.")
    observed = observe.wanted(profile)
    if profile.secure and observed:
        raise Problem("OBSERVE=1 with SECURE=1 is native: leave out RUN_WITH=docker, or use a Prometheus of your own.")
    if observed and not layout.setting("OTEL_EXPORTER_OTLP_ENDPOINT"):
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://jaeger:4318"
    development = (*layout.SERVER_PORTS, *layout.SERVICES, page.CONSOLE, *(observe.IN_DOCKER if observed else ()))
    names = (replicas.EDGE, replicas.ISSUER) if profile.secure else development
    new = not _containers(profile)
    if profile.personal:
        profile.ports = {name: ports.named(name) for name in names}
        if new and docker.is_local():
            ports.refuse_taken(profile.ports)
    elif new:
        profile.ports = dict(zip(names, ports.choose(len(names)), strict=True))
    profile.save()
    counts = Counter(map(replicas.service_of, wanted))
    scale = [f"--scale={service}={count}" for service, count in counts.items() if count > 1]
    if compose(profile, *(_OBSERVED if observed else ()), "up", "--build", "-d", "--wait", *scale) == 0:
        if profile.secure:
            secure.authority(profile).parent.mkdir(exist_ok=True)
            compose(profile, "cp", "secrets:/secrets/vault/tls/ca.crt", str(secure.authority(profile)))
        return
    rows = _containers(profile)
    failing = [row["Service"] for row in rows if row.get("ExitCode") or row.get("Health") == "unhealthy"]
    for name in dict.fromkeys(failing):
        compose(profile, "logs", "--tail", "30", "--no-log-prefix", name)
    said = f"{' and '.join(dict.fromkeys(failing))} failed" if failing else "it could not be started"
    raise Problem(f"Docker could not bring the system up: {said}, as stands above.")


def _up_natively(profile: Profile) -> None:
    if earlier.runs(profile):
        raise Problem("An earlier version of these scripts has started the system: `make down` first.")
    running = [name for name in replicas.processes(profile) if supervisor.alive(profile, name)]
    if running:
        _tell_what_changed(profile)
    else:
        for name in replicas.processes(profile):
            del profile.ports[name]  # of an earlier start, which may have had more
    names = replicas.of_services(profile) or replicas.instances()
    missing = [name for name in ([replicas.ISSUER] if profile.secure else []) + names if name not in running]
    beside = [part for part in _BESIDE if part.wanted(profile) and not {*part.NAMES} <= {*running}]
    if not (missing or beside) and servers.running(profile):
        say("The system is up already.")
        wait(profile, names)
        return
    # Nobody should wait for an installation to be told of a taken port, or that something else is missing.
    servers.choose_ports(profile)
    if profile.personal:
        named = {name: ports.named(name) for name in missing if name in layout.PORTS}
        ports.refuse_taken(named)
        profile.ports |= named
    # A replica that is started again keeps its port, which the edge knows.
    services = [name for name in missing if name != replicas.ISSUER]
    needed = missing + ([replicas.internal(name) for name in services] if profile.secure else [])
    unnamed = [name for name in needed if name not in profile.ports or not ports.is_free(profile.ports[name])]
    profile.ports |= zip(unnamed, ports.choose(len(unnamed), avoiding=profile.ports.values()), strict=True)
    for part in beside:
        part.choose_ports(profile)
    if profile.mode == "native":
        servers.provide()
    for part in beside:
        for package in part.PACKAGES:
            packages.provide(package)
    others = {project for part in beside for project in part.PROJECTS} | ({"operations"} if profile.secure else set())
    install.install([*layout.SERVICES, *sorted(others)])
    if not running:
        profile.settings = _settings(profile)
    profile.save()
    servers.up(profile, definitions=True)
    servers.introduce(profile)
    if profile.secure:
        secure.watch_definitions(profile)
    migrate(profile)
    say(f"starting {', '.join(missing or (name for part in beside for name in part.NAMES))}")
    logs_before = {name: size(profile.log(name)) for name in missing}
    for name in missing:
        start_one(profile, name)
    wait(profile, names, logs_before)
    for part in _BESIDE:
        if part in beside:
            for name in part.NAMES:
                start_one(profile, name)
        if part in beside or {*part.NAMES} <= {*running}:  # an edge that ran takes a moment to see the services again
            part.wait(profile)


def _tell_what_changed(profile: Profile) -> None:
    """A service that runs keeps the settings and the port that it was started with."""
    changed = {name for name, value in _settings(profile).items() if value != profile.settings.get(name)}
    if profile.personal:
        for name, (variable, _) in layout.PORTS.items():
            if layout.setting(variable) and name in profile.ports and ports.named(name) != profile.ports[name]:
                changed.add(variable)
    if (wanted := replicas.instances()) != (now := replicas.of_services(profile)):
        services = {replicas.service_of(name) for name in {*wanted} ^ {*now}}
        changed |= {layout.replicas_variable(service) for service in services}
    if changed:
        say(f"What runs already keeps its settings: {', '.join(sorted(changed))} will take effect at the next start")
        say("(`make down`, then `make up` with the same variables).")


def migrate(profile: Profile) -> None:
    """Brings all three schemas up to date at the same time; the migrations lock each other out where they must."""

    def upgrade(name: str) -> None:
        own = secure.of_migration(profile, name) if profile.secure else {"DATABASE_URL": postgresql.url(profile)}
        environment = layout.inherited_environment() | own
        command = (install.python(name).with_name("alembic"), "upgrade", "head")
        log = profile.log(f"migrate-{name}")
        tools.run(command, log, f"The migration of {name} failed or did not end", layout.ROOT / name, environment)

    with ThreadPoolExecutor() as pool:
        list(pool.map(upgrade, layout.DATABASE_ROLES))


def _settings(profile: Profile) -> dict[str, str]:
    """What is set: `.env` first, the caller's variables over it. Ports and servers are not among them."""
    found = {"LOG_FORMAT": "json"}
    if profile.personal:
        found |= {name: value for name, value in layout.dotenv().items() if value}
    found |= {name: value for name, value in os.environ.items() if name in layout.settings()}
    return {name: value for name, value in found.items() if name not in _NOT_OF_SERVICES}


def _environment(profile: Profile, name: str) -> dict[str, str]:
    """What a service finds in its environment, over what it inherits: the settings, and our addresses over all."""
    if profile.secure:
        return _settings(profile) | secure.of_service(profile, name)
    service = replicas.service_of(name)
    environment = _settings(profile) | {"RABBITMQ_URL": rabbitmq.url(profile)}
    if service in layout.DATABASE_ROLES:
        role = layout.DATABASE_ROLES[service]
        environment["DATABASE_URL"] = postgresql.url(profile, role, role)
    return environment


def _introduce(profile: Profile) -> None:
    if profile.secure:
        secure.introduce(profile)
        observe.introduce(profile)
        return
    say(f"\nThe system is up ({'in Docker' if profile.mode == 'docker' else 'natively'}):")
    if page.CONSOLE in profile.ports:
        page.introduce(profile)
    for name in layout.SERVICES if profile.mode == "docker" else replicas.of_services(profile):
        say(f"  {name:<21} http://localhost:{profile.ports[name]}/docs")
    if replicas.EDGE in replicas.processes(profile):
        trust = shown(profile.home / "tls" / "ca.crt")
        say(f"  {replicas.EDGE:<21} https://localhost:{profile.ports[replicas.EDGE]}  (curl --cacert {trust})")
    observe.introduce(profile)
    management = profile.ports["rabbitmq-management"]
    say(f"  {'RabbitMQ':<21} http://localhost:{management}  (admin / admin), AMQP on {profile.ports['rabbitmq']}")
    say(
        f"  {'PostgreSQL':<21} localhost:{profile.ports['postgres']}  (postgres / postgres), database {layout.DATABASE}"
    )
    if profile.mode == "native":
        say(f"  {'logs':<21} {shown(profile.home / 'log')}")
    if profile.name == SYSTEM:
        say("Next: `make demo` places orders and shows how each ends, `make logs` follows them, `make down` stops all.")
