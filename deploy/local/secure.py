"""`make up SECURE=1`, production on one machine: the profile's own secrets and certificates, the issuer of tokens, and
what each program is told of them. Only files contain a secret: no command line does, and no environment."""

import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import credentials
import docker
import health
import install
import layout
import supervisor
from console import Problem, say, shown, size, tail
from credentials import AUDITOR, OPERATOR
from profiles import Profile
from replicas import CONSOLE, EDGE, ISSUER, internal, of_services, service_of

AUDIENCE = "order-processing"
_WATCHER = "definitions"
_ANSWERS_WITHIN_SECONDS = 30


def refuse_other_ways() -> None:
    """Raises Problem for a setting under which it can't be secure natively."""
    for name in ("DATABASE_URL", "RABBITMQ_URL"):
        if layout.dotenv().get(name):
            raise Problem(f"{name} in .env would win over what SECURE=1 makes: put a # before that line.")


def prepare(profile: Profile) -> None:
    """Before the servers start, whose ports are known."""
    postgres, rabbitmq, management = (f"localhost:{profile.ports[name]}" for name in layout.SERVER_PORTS)
    servers = credentials.Servers(postgres, rabbitmq, management, authority(profile))
    credentials.make(profile.home, servers, profile.log("certificates"))


def of_service(profile: Profile, name: str) -> dict[str, str]:
    """The environment of one of its processes."""
    service = service_of(name)
    found = _serving(profile, name) | {"RABBITMQ_URL_FILE": _file(profile, f"{service}.rabbitmq-url")}
    if service in layout.DATABASE_ROLES:
        found["DATABASE_URL_FILE"] = _file(profile, f"{service}.database-url")
    return found


def of_page(profile: Profile) -> dict[str, str]:
    """Of the page's server: the database's auditor, the broker's `operations`, and at the edge whoever asks it."""
    found = _serving(profile, CONSOLE) | _services_at_the_edge(profile)
    for service in layout.SERVICES:
        ports = [profile.ports[internal(name)] for name in of_services(profile) if service_of(name) == service]
        variable = f"{service.upper().replace('-', '_')}_INTERNAL_URL"
        found[variable] = " ".join(f"http://127.0.0.1:{port}" for port in ports)
    return found | {
        "DATABASE_URL_FILE": _file(profile, f"{AUDITOR}.database-url"),
        "RABBITMQ_URL_FILE": _file(profile, f"{OPERATOR}.rabbitmq-url"),
        "OIDC_CLIENT_ID": CONSOLE,
        "SSL_CERT_FILE": str(authority(profile)),
    }


def _serving(profile: Profile, name: str) -> dict[str, str]:
    tls = profile.home / "tls"
    return _of_all_services(profile) | {
        "INTERNAL_ADDRESS": f"127.0.0.1:{profile.ports[internal(name)]}",
        "UVICORN_SSL_KEYFILE": str(tls / f"{service_of(name)}.key"),
        "UVICORN_SSL_CERTFILE": str(tls / f"{service_of(name)}.crt"),
        "UVICORN_SSL_CA_CERTS": str(tls / "ca.crt"),
        "UVICORN_SSL_CERT_REQS": "2",
    }


def _services_at_the_edge(profile: Profile) -> dict[str, str]:
    edge = f"https://localhost:{profile.ports[EDGE]}" if EDGE in profile.ports else ""
    return {f"{name.upper().replace('-', '_')}_URL": edge for name in layout.SERVICES}


def _of_all_services(profile: Profile) -> dict[str, str]:
    return {
        "ENVIRONMENT": "production",
        "OIDC_ISSUER": issuer_url(profile),
        "OIDC_AUDIENCE": AUDIENCE,
        "OIDC_DISCOVERY_URL": f"{issuer_url(profile)}/.well-known/openid-configuration",
        "ALLOW_DEVELOPMENT_ISSUER": "true",
        "ALLOW_SIMULATED_GATEWAY": "true",
    }


def of_migration(profile: Profile, service: str) -> dict[str, str]:
    return {
        "ENVIRONMENT": "production",
        "DATABASE_URL": "",
        "DATABASE_URL_FILE": _file(profile, f"{OPERATOR}.database-url"),
        "DATABASE_LOGINS": "",
        "DATABASE_LOGINS_FILE": _file(profile, f"{service}.database-logins"),
    }


def of_definitions(profile: Profile) -> dict[str, str]:
    """Of the step that gives the broker its users, exchanges and queues."""
    passwords = {
        f"{user.upper().replace('-', '_')}_RABBITMQ_PASSWORD_FILE": _file(profile, f"{user}.rabbitmq-password")
        for user in credentials.BROKER_USERS
    }
    return passwords | {
        "ENVIRONMENT": "production",
        "RABBITMQ_MANAGEMENT_URL": "",
        "RABBITMQ_MANAGEMENT_URL_FILE": _file(profile, "management-url"),
        "SSL_CERT_FILE": str(authority(profile)),
    }


def of_operator(profile: Profile) -> dict[str, str]:
    """Of the operators' tool: the database's administrator, the broker's `operations`, and staff at the edge. It runs
    the services' own `python -m reconcile`, each of which reads its service's settings and serves nothing."""
    trust = str(authority(profile))
    return _of_all_services(profile) | {
        "INTERNAL_ADDRESS": "127.0.0.1:0",
        "ALLOW_PLAIN_HTTP": "true",
        "DATABASE_URL": "",
        "DATABASE_URL_FILE": _file(profile, f"{OPERATOR}.database-url"),
        "RABBITMQ_URL": "",
        "RABBITMQ_URL_FILE": _file(profile, f"{OPERATOR}.rabbitmq-url"),
        **_services_at_the_edge(profile),
        "ISSUER_KEYS": str(profile.home / "issuer"),
        "SSL_CERT_FILE": trust,
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": trust,
    }


def of_auditor(profile: Profile) -> dict[str, str]:
    """Of what reads all schemas and changes nothing."""
    return {"DATABASE_URL": "", "DATABASE_URL_FILE": _file(profile, f"{AUDITOR}.database-url")}


def of_tests(profile: Profile) -> dict[str, str]:
    """Of the system tests: they are an operator, and an administrator of both servers, since each system that they
    start has a database and a vhost of its own."""
    names = (f"{OPERATOR}.database-url", f"{OPERATOR}.rabbitmq-url", "management-url")
    database, broker, management = (Path(_file(profile, name)).read_text().strip() for name in names)
    administrator = urlsplit(management).netloc.rpartition("@")[0]
    return of_operator(profile) | {
        "WAY": "secure",
        "DATABASE_URL": database,
        "RABBITMQ_URL": f"amqps://{administrator}@{broker.rpartition('@')[2]}",
        "RABBITMQ_MANAGEMENT_URL": management,
    }


def issuer_url(profile: Profile) -> str:
    return f"http://localhost:{profile.ports[ISSUER]}" if ISSUER in profile.ports else ""


def start_issuer(profile: Profile) -> None:
    """Returns once it answers: services ask for its keys when they start."""
    environment = {
        "OIDC_ISSUER": issuer_url(profile),
        "ISSUER_KEYS": str(profile.home / "issuer"),
        "ISSUER_REDIRECT_URIS": f"https://localhost:{profile.ports[EDGE]}/" if EDGE in profile.ports else "",
    }
    port, log = profile.ports[ISSUER], profile.log(ISSUER)
    before, deadline = size(log), time.monotonic() + _ANSWERS_WITHIN_SECONDS
    command = (install.python("operations"), "-m", "operations", "issuer", "--port", str(port))
    supervisor.launch(profile, ISSUER, command, environment, layout.ROOT / "operations")
    while health.ask(port, "/keys")[0] != 200:
        supervisor.must_run(profile, ISSUER, before)
        if time.monotonic() > deadline:
            raise Problem(f"The issuer does not answer after {_ANSWERS_WITHIN_SECONDS} s: see {shown(log)}.", tail(log))
        time.sleep(0.1)


def watch_definitions(profile: Profile) -> None:
    """Starts what furnishes the broker again if it comes up empty."""
    step = layout.DEFINITIONS.with_name("load_definitions.py")
    supervisor.launch(profile, _WATCHER, (sys.executable, step, "--watch"), of_definitions(profile), layout.ROOT)


def authority(profile: Profile) -> Path:
    """The certificate by which callers know the edge."""
    return profile.home / "tls" / "ca.crt"


def introduce(profile: Profile) -> None:
    in_docker = profile.mode == "docker"
    say(f"\nThe system is up as in production, {'in Docker' if in_docker else 'natively'}:")
    say(f"  {EDGE:<21} https://localhost:{profile.ports[EDGE]}  (curl --cacert {shown(authority(profile))})")
    printed = f"{docker.typed(secure=True)} exec issuer cat /issuer/password"
    password = f"that `{printed}` prints" if in_docker else f"in {shown(profile.home / 'issuer' / 'password')}"
    say(f"  {'the page':<21} https://localhost:{profile.ports[EDGE]}/  (sign in with the password {password})")
    say(f"  {'tokens':<21} make token ROLE=customer SUB=<uuid>, from the issuer {issuer_url(profile)}")
    passwords = "in the volume `vault`" if in_docker else f"in {shown(profile.home / 'secrets')}"
    say(f"  {'PostgreSQL, RabbitMQ':<21} by TLS only; their passwords are {passwords}")
    say(f"  {'logs':<21} {'make logs' if in_docker else shown(profile.home / 'log')}")


def _file(profile: Profile, name: str) -> str:
    return str(profile.home / "secrets" / name)
