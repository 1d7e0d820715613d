"""The page for people (`console/`), which `make up` starts last. Nothing waits for it, and nothing depends on it."""

import install
import layout
import ports
import postgresql
import rabbitmq
import replicas
import secure
import supervisor
from console import say
from profiles import SYSTEM, Profile

CONSOLE = replicas.CONSOLE
NAMES, PACKAGES, PROJECTS = (CONSOLE,), (), (CONSOLE,)
# A page is a stream that never ends: whoever stops the console doesn't wait for it.
_OPTIONS = (
    *("--no-access-log", "--no-server-header", "--timeout-graceful-shutdown", "1"),
    *("--http", "chassis.http.protocol:BoundedProtocol", "--timeout-keep-alive", "75"),
)


def wanted(profile: Profile) -> bool:
    """Tests and benchmarks in development start their own."""
    return profile.name == SYSTEM or profile.secure


def choose_ports(profile: Profile) -> None:
    named = {CONSOLE: ports.named(CONSOLE)} if profile.personal else {}
    ports.refuse_taken(named)
    wanted = {CONSOLE, replicas.internal(CONSOLE)} if profile.secure else {CONSOLE}
    free = sorted(wanted - {*named})
    chosen = dict(zip(free, ports.choose(len(free), avoiding=profile.ports.values()), strict=True))
    profile.ports |= named | chosen


def start(profile: Profile) -> None:
    """Starts it without waiting for it."""
    environment = profile.settings | (secure.of_page(profile) if profile.secure else _in_development(profile))
    address = ("--host", "127.0.0.1", "--port", str(profile.ports[CONSOLE]))
    command = (install.python(CONSOLE).with_name("uvicorn"), "main:app", *address, *_OPTIONS)
    supervisor.launch(profile, CONSOLE, command, environment, layout.ROOT / CONSOLE)


def wait(_: Profile) -> None:
    """Nobody does."""


def _in_development(profile: Profile) -> dict[str, str]:
    environment = {"DATABASE_URL": postgresql.url(profile), "RABBITMQ_URL": rabbitmq.url(profile)}
    for service in layout.SERVICES:
        names = [name for name in replicas.of_services(profile) if replicas.service_of(name) == service]
        urls = " ".join(f"http://127.0.0.1:{profile.ports[name]}" for name in names)
        environment[f"{service.upper().replace('-', '_')}_URL"] = urls
    return environment


def introduce(profile: Profile) -> None:
    say(f"  {'the page':<21} http://localhost:{profile.ports[CONSOLE]}")
