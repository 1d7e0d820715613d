"""The first step of docker-compose.secure.yml. Makes production's secrets and certificates in a volume that no other
container has, and gives each container those that it needs, in a volume of its own. Passwords stay as they are;
certificates are made anew each time."""

import shutil
import sys
from pathlib import Path

import credentials
import layout
from console import Problem, report, say
from profiles import write_private
from replicas import CONSOLE

_PLACE, _VAULT = Path("/secrets"), Path("/secrets/vault")
# Where containers find what they are given. The two servers' users get copies of their own (docker-compose.secure.yml).
_GIVEN, _SERVERS_OWN = Path("/secrets"), Path("/run/own")
_SERVERS = credentials.Servers("postgres:5432", "rabbitmq:5671", "rabbitmq:15671", _GIVEN / "ca.crt")
_BROKER = """\
listeners.ssl.default = 5671
management.ssl.port = 15671
default_user = {user}
default_pass = {password}
"""


def main() -> int:
    try:
        credentials.make(_VAULT, _SERVERS, _VAULT / "log")
        credentials.make_certificates(_VAULT, _VAULT / "log", credentials.EDGE_NAMES)
    except Problem as problem:
        report(problem)
        return 1
    write_private(_VAULT / "secrets" / "rabbitmq.conf", _broker_settings())
    credentials.secret(_VAULT, "rabbitmq.cookie")
    for container, files in _given().items():
        for name, kept in files.items():
            draft = _PLACE / container / f".{name}"
            shutil.copy(_VAULT / kept, draft)
            draft.replace(_PLACE / container / name)
    say("Every container has its secrets and its certificate.")
    return 0


def _broker_settings() -> str:
    password = credentials.secret(_VAULT, credentials.BROKER_ADMINISTRATOR)
    authority, certificate, key = (_SERVERS_OWN / name for name in ("ca.crt", "tls.crt", "tls.key"))
    own = _BROKER.format(user=layout.RABBITMQ_USER, password=password)
    return own + credentials.broker_tls(authority, certificate, key)


def _given() -> dict[str, dict[str, str]]:
    """Of each container the files that it gets: their names there, and where they are kept."""
    certified = (*layout.SERVICES, CONSOLE, "postgres", "rabbitmq", "edge")
    found = {name: {f"tls.{kind}": f"tls/{name}.{kind}" for kind in ("crt", "key")} for name in certified}
    operator = {name: f"secrets/{credentials.OPERATOR}.{name}" for name in ("database-url", "rabbitmq-url")}
    found["operations"] = operator
    found[CONSOLE] |= operator | {"database-url": f"secrets/{credentials.AUDITOR}.database-url"}
    logins = [f"{service}.database-logins" for service in layout.DATABASE_ROLES]
    found["migrations"] = {"database-url": operator["database-url"]} | {name: f"secrets/{name}" for name in logins}
    passwords = [f"{user}.rabbitmq-password" for user in credentials.BROKER_USERS]
    found["definitions"] = {name: f"secrets/{name}" for name in ("management-url", *passwords)}
    found["postgres"]["password"] = f"secrets/{credentials.DATABASE_ADMINISTRATOR}"
    found["rabbitmq"] |= {name: f"secrets/{name}" for name in ("rabbitmq.conf", "rabbitmq.cookie")}
    for service in layout.SERVICES:
        found[service]["rabbitmq-url"] = f"secrets/{service}.rabbitmq-url"
    for service in layout.DATABASE_ROLES:
        found[service]["database-url"] = f"secrets/{service}.database-url"
    return {container: files | {"ca.crt": "tls/ca.crt"} for container, files in found.items()}


if __name__ == "__main__":
    sys.exit(main())
