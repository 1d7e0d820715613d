"""Where the system is: its servers and services, and how a program runs inside one of them."""

import json
import os
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Of the clone. In the image there is none, and nothing of the services beside the tool."""

_SERVICES = json.loads(Path(__file__).with_name("services.json").read_text())
SERVICES: tuple[str, ...] = tuple(_SERVICES)
ROLES: dict[str, str] = {name: service["schema"] for name, service in _SERVICES.items() if service["schema"]}
"""The schema of each service that has one, which is also the name of its role in the database; who owns the schema is
`<schema>_owner`."""
SCHEMAS = tuple(ROLES.values())


class Refused(Exception):
    """Why a command can't be done, and what to do, in a sentence; `status` is then the exit status."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.status = status


def database_url() -> str:
    return _url("DATABASE_URL")


def rabbitmq_url() -> str:
    return _url("RABBITMQ_URL")


def _url(variable: str) -> str:
    url = os.environ.get(variable)
    if not url and (file := os.environ.get(f"{variable}_FILE")):
        try:
            url = Path(file).read_text().strip()
        except OSError as error:
            raise Refused(f"{variable}_FILE: {file} can't be read: {error.strerror}.", 2) from None
    if not url:
        raise Refused(f"{variable} is not set: start the system with `make up`, and use `make`, which sets it.", 2)
    return url


def service_urls() -> dict[str, str]:
    """Of each service ORDER_SERVICE_URL and its like, else ORDER_SERVICE_PORT on this machine, else the usual port."""
    found = {}
    for name in SERVICES:
        variable = name.upper().replace("-", "_")
        port = os.environ.get(f"{variable}_PORT") or _SERVICES[name]["port"]
        found[name] = os.environ.get(f"{variable}_URL") or f"http://127.0.0.1:{port}"
    return found


def inside(container: str, *variables: str) -> list[str]:
    """How a command begins that runs in the container, which gets these variables of the environment: not their values,
    which all could read in the list of processes. Where COMPOSE doesn't say how compose is called, the system runs
    natively, and the command needs no such beginning."""
    compose = shlex.split(os.environ.get("COMPOSE", ""))
    settings = [part for name in variables for part in ("-e", name)]
    return [*compose, "exec", "-T", *settings, container] if compose else []
