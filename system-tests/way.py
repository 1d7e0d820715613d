"""The two ways to run the services that tests start: as in development or, where WAY=secure says so, as in production.

What production tells each program is asked of deploy/local/secure.py, for the profile whose servers the tests use. Then
these have TLS, services and tests have users of their own, and the tests call as staff, by an edge.
"""

import asyncio
import functools
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from chassis.messaging.origin import OPERATOR
from chassis.messaging.topology import EXCHANGE
from chassis.testing import broker_urls

from attacks.edge import Edge
from local import run_local
from machine import ROOT, internal_port
from operations import tokens
from operations.addresses import ROLES

SECURE = os.environ.get("WAY") == "secure"
UNANSWERED = (502, 503, 504) if SECURE else (503,)
"""What asks for patience: the statuses of a service that can't now, and of an edge behind which nobody answers."""
_STEP = ROOT / "deploy" / "rabbitmq" / "load_definitions.py"
_TOKEN_SECONDS = 12 * 3600
_ASK = """
import json, layout, profiles, replicas, secure
profile = profiles.load({profile!r})
profile.ports |= {{replicas.internal(name): 0 for name in layout.SERVICES}}
print(json.dumps({{
    "services": {{name: secure.of_service(profile, name) for name in layout.SERVICES}},
    "migrations": {{name: secure.of_migration(profile, name) for name in layout.DATABASE_ROLES}},
    "definitions": secure.of_definitions(profile),
    "tls": str(profile.home / "tls"),
}}))
"""


def development_only(why: str) -> pytest.MarkDecorator:
    """For what by its nature isn't there in production."""
    return pytest.mark.skipif(SECURE, reason=f"in development only: {why}")


@functools.cache
def _told() -> Mapping[str, Any]:
    told: dict[str, Any] = json.loads(run_local(_ASK.format(profile=os.environ["ORDER_PROCESSING_PROFILE"])))
    return told


def of_service(name: str, database_url: str, rabbitmq_url: str) -> dict[str, str]:
    """The environment of a service on these servers, whose URLs are an administrator's."""
    if not SECURE:
        role = ROLES.get(name)
        return {
            "DATABASE_URL": _logged_in(f"{role}:{role}", database_url) if role else "",
            "RABBITMQ_URL": rabbitmq_url,
        }
    told: dict[str, str] = dict(_told()["services"][name])
    for variable, url in (("DATABASE_URL", database_url), ("RABBITMQ_URL", rabbitmq_url)):
        file = told.pop(f"{variable}_FILE", "")
        told |= {variable: _logged_in(_login(file), url) if file else "", f"{variable}_FILE": ""}
    return told


def operators(rabbitmq_url: str) -> str:
    """The address that the operators' tool uses of the broker."""
    return _logged_in(_login(os.environ["RABBITMQ_URL_FILE"]), rabbitmq_url) if SECURE else rabbitmq_url


def _logged_in(login: str, url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port or 5432}"))


def _login(file: str) -> str:
    return urlsplit(Path(file).read_text()).netloc.rpartition("@")[0]


def of_migration(name: str) -> dict[str, str]:
    return {"DATABASE_LOGINS_FILE": _told()["migrations"][name]["DATABASE_LOGINS_FILE"]} if SECURE else {}


@asynccontextmanager
async def furnished(vhost: str) -> AsyncIterator[None]:
    """The vhost has what the step of production gives it, and gets it again if it is lost."""
    environment = os.environ | _told()["definitions"] | {"RABBITMQ_MANAGEMENT_URL": f"{broker_urls()[1]}/{vhost}"}
    watching = await asyncio.create_subprocess_exec(
        sys.executable, str(_STEP), "--watch", env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert watching.stdout is not None
    try:
        assert await watching.stdout.readline(), "the broker could not be furnished: see above"
        await impersonate()
        yield
    finally:
        watching.terminate()
        await watching.wait()


async def impersonate() -> None:
    """Lets the tests' own user send in the name of any: https://www.rabbitmq.com/docs/validated-user-id."""
    administrator = urlsplit(broker_urls()[1])
    user = {"password": administrator.password, "tags": "administrator,impersonator"}
    async with httpx.AsyncClient(base_url=broker_urls()[1], timeout=30) as management:
        (await management.put(f"/api/users/{administrator.username}", json=user)).raise_for_status()


def sender(exchange: str, routing_key: str) -> str | None:
    """In whose name a message is sent: its publisher's or, to a queue alone, that of whoever sends letters back."""
    if not SECURE:
        return None
    return f"{routing_key.partition('.')[0]}-service" if exchange == EXCHANGE else OPERATOR


def edge(folder: Path) -> Edge | None:
    """In front of the services, which tests reach directly in development."""
    if not SECURE:
        return None
    tls = Path(_told()["tls"])
    return Edge(
        folder,
        {},
        {
            "EDGE_SERVICES_CA": str(tls / "ca.crt"),
            "EDGE_CLIENT_CERTIFICATE": str(tls / "edge.crt"),
            "EDGE_CONNECTIONS_PER_ADDRESS": "5000",
        },
        certificates=tls,
        health_port=internal_port,
    )


def client(**options: Any) -> httpx.AsyncClient:
    """Who calls the services."""
    return httpx.AsyncClient(headers=tokens.headers(_TOKEN_SECONDS), **{"timeout": 30, **options})
