"""Production's secrets and certificates, as files: random passwords, and the URLs that contain them. Made natively for
`make up SECURE=1`, and in Docker by compose_secrets.py."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import layout
import tools
from profiles import write_private
from replicas import CONSOLE

OPERATOR, AUDITOR = "operations", "auditor"
# The names of the files; the administrators' passwords are drawn once, when their server's data folder is made.
DATABASE_ADMINISTRATOR, BROKER_ADMINISTRATOR = "postgres.password", "rabbitmq.password"
BROKER_USERS = (*layout.SERVICES, OPERATOR)
LOOPBACK = "localhost,127.0.0.1"
EDGE_NAMES = f"edge,{LOOPBACK},::1"

_MAKE_CERTIFICATES = layout.ROOT / "deploy" / "tls" / "make-certificates"
_BROKER_TLS = """\
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
"""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where programs find the servers, as host:port, and the authority's certificate."""

    postgres: str
    rabbitmq: str
    management: str
    authority: Path


def secret(home: Path, name: str) -> str:
    """Drawn at its first use. Whoever removes the file of a service's password has another drawn at the next start."""
    path = home / "secrets" / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        write_private(path, f"{secrets.token_urlsafe(32)}\n")
    return path.read_text().strip()


def make(home: Path, servers: Servers, log: Path) -> None:
    """Before the servers start: writes the certificates, anew each time, and each program's URLs."""
    make_certificates(home, log, f"postgres,{LOOPBACK}", f"rabbitmq,{LOOPBACK}", *layout.SERVICES, CONSOLE)
    logins = {service: (f"{role}_a", f"{service}.database-password") for service, role in layout.DATABASE_ROLES.items()}
    logins[AUDITOR] = (f"{AUDITOR}_a", f"{AUDITOR}.database-password")
    database = f"{layout.DATABASE}?{urlencode({'sslmode': 'verify-full', 'sslrootcert': servers.authority})}"
    urls: dict[str, str] = {}
    for name, (user, password) in (logins | {OPERATOR: (layout.POSTGRES_USER, DATABASE_ADMINISTRATOR)}).items():
        login = f"{user}:{secret(home, password)}"
        urls[name] = f"postgresql+asyncpg://{login}@{servers.postgres}/{database}"
        _write(home, f"{name}.database-url", urls[name])
    for service in layout.DATABASE_ROLES:
        _write(home, f"{service}.database-logins", f"{urls[service]}\n{urls[AUDITOR]}")
    broker = urlencode({"cafile": servers.authority})
    for user in BROKER_USERS:
        login = f"{user}:{secret(home, f'{user}.rabbitmq-password')}"
        _write(home, f"{user}.rabbitmq-url", f"amqps://{login}@{servers.rabbitmq}/?{broker}")
    login = f"{layout.RABBITMQ_USER}:{secret(home, BROKER_ADMINISTRATOR)}"
    _write(home, "management-url", f"https://{login}@{servers.management}")


def make_certificates(home: Path, log: Path, *names: str) -> None:
    """Of the authority that the first run makes; `names` as deploy/tls/make-certificates takes them."""
    tools.run([_MAKE_CERTIFICATES, home / "tls", *names], log, "The certificates could not be made")


def broker_tls(authority: Path, certificate: Path, key: Path, beside: int | None = None) -> str:
    """The part of rabbitmq.conf by which it takes no connection without TLS; or, at a port of this machine beside its
    own, those with TLS too."""
    door, listeners = "listeners.tcp = none", ["ssl_options", "management.ssl"]
    if beside is not None:
        door, listeners = f"listeners.ssl.1 = 127.0.0.1:{beside}", ["ssl_options"]
    files = {"cacertfile": authority, "certfile": certificate, "keyfile": key}
    lines = [f"{listener}.{option} = {file}\n" for listener in listeners for option, file in files.items()]
    return f"{door}\n{_BROKER_TLS}" + "".join(lines)


def _write(home: Path, name: str, urls: str) -> None:
    write_private(home / "secrets" / name, f"{urls}\n")
