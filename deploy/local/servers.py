"""The pair of servers that a profile has: started, looked up and stopped together or one at a time."""

import re
from concurrent.futures import ThreadPoolExecutor

import docker
import layout
import packages
import ports
import postgresql
import rabbitmq
import secure
import supervisor
import tools
from console import Problem, say
from profiles import RABBITMQ_TLS, Profile

PAIR = (postgresql.NAME, rabbitmq.NAME)
_OWNERS = {"postgres": postgresql.NAME, "rabbitmq": rabbitmq.NAME, "rabbitmq-management": rabbitmq.NAME}


def mode() -> str:
    """How a private pair is run: as installed, else in Docker, else natively once installed."""
    return "docker" if _missing() and docker.answers() else "native"


def running(profile: Profile) -> bool:
    return all(is_up(profile, name) for name in PAIR)


def is_up(profile: Profile, name: str) -> bool:
    if profile.mode == "docker":
        rows = docker.containers(project(profile))
        return any(row.get("Service") == name and row.get("State") == "running" for row in rows)
    return supervisor.alive(profile, name)


def up(profile: Profile, *, definitions: bool) -> None:
    """Starts what does not run yet. `system` gets the ports that the variables name, other profiles get free ones."""
    if running(profile):
        return
    choose_ports(profile)
    profile.save()
    if profile.mode == "docker":
        variables = {layout.PORTS[name][0]: str(profile.ports[name]) for name in layout.SERVER_PORTS}
        if docker.compose(["up", "-d", "--wait", *PAIR], project=project(profile), env=variables) != 0:
            docker.compose(["logs", "--tail", "20", *PAIR], project=project(profile))
            raise Problem("Docker could not start PostgreSQL and RabbitMQ: what compose says stands above.")
    else:
        provide()
        if profile.encrypts:
            secure.prepare(profile)
        supervisor.ensure(profile)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: start_one(profile, name), PAIR))
    if definitions:
        rabbitmq.load_definitions(profile)


def start_one(profile: Profile, name: str) -> None:
    """Starts one server of a pair again, on the ports and with the data that it had."""
    if is_up(profile, name):
        return
    if profile.mode == "docker":
        docker.compose(["start", name], project=project(profile))
    elif name == postgresql.NAME:
        postgresql.start(profile)
    else:
        rabbitmq.start(profile)


def stop_one(profile: Profile, name: str) -> None:
    """Stops a server, or a service."""
    if profile.mode == "docker" and name in PAIR:
        docker.compose(["stop", name], project=project(profile))
    else:
        supervisor.stop(profile, name)


def take_tls(profile: Profile) -> None:
    """Starts both again with certificates, so that they take connections with TLS beside those without. For whoever
    compares the two."""
    if profile.encrypts:
        return
    (profile.ports[RABBITMQ_TLS],) = ports.choose(1, avoiding=profile.ports.values())
    profile.save()
    secure.prepare(profile)
    for name in PAIR:
        stop_one(profile, name)
        start_one(profile, name)


def kill_one(profile: Profile, name: str) -> None:
    """Ends a server, or a service, as a crash would: no chance to write anything."""
    if profile.mode == "docker" and name in PAIR:
        docker.compose(["kill", name], project=project(profile))
    else:
        supervisor.kill(profile, name)


def down(profile: Profile) -> None:
    """Stops both, and the services on them. In Docker the data of a private pair goes with them."""
    if profile.mode == "docker":
        docker.compose(["down", "-v", "--remove-orphans"], project=project(profile))
    supervisor.shutdown(profile)


def project(profile: Profile) -> str:
    """As compose calls what isn't the system in development."""
    folder = re.sub(r"[^a-z0-9_-]", "", layout.ROOT.name.lower()).lstrip("_-") or "order-processing"
    return f"{folder}-{profile.name}"


def introduce(profile: Profile) -> None:
    say(f"PostgreSQL runs on port {profile.ports['postgres']}, RabbitMQ on {profile.ports['rabbitmq']}")


def addresses(profile: Profile) -> dict[str, str]:
    """What programs need to find the servers, by the names of the variables that tell them."""
    if not profile.ports:
        raise Problem(f"The servers of '{profile.name}' were never started: start them first.")
    if profile.secure:
        return secure.of_operator(profile)
    return {
        "DATABASE_URL": postgresql.url(profile),
        "RABBITMQ_URL": rabbitmq.url(profile),
        "RABBITMQ_MANAGEMENT_URL": rabbitmq.management_url(profile),
    }


def provide() -> None:
    """Installs the server programs that the machine lacks, and what makes environments with them."""
    if missing := _missing():
        missing += tools.missing_packages()
        packages.install(missing, "This machine lacks " + ", ".join(missing))
    if missing := _missing():
        listed = " and ".join(missing)
        raise Problem(f"{listed} was installed, but these scripts don't find it: use Docker, or say where it is.")


def choose_ports(profile: Profile) -> None:
    """Settles the ports of the servers that don't run yet."""
    wanted = [name for name in layout.SERVER_PORTS if not is_up(profile, _OWNERS[name])]
    if profile.personal:
        chosen = {name: ports.named(name) for name in wanted}
        ports.refuse_taken(chosen)
    else:
        chosen = dict(zip(wanted, ports.choose(len(wanted), avoiding=profile.ports.values()), strict=True))
    profile.ports |= chosen


def _missing() -> list[str]:
    found = {postgresql.PACKAGE: postgresql.programs(), rabbitmq.PACKAGE: rabbitmq.server()}
    return [package for package, place in found.items() if place is None]
