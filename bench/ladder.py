"""What each part of production costs: the system as in development, then with one part more on each rung.

What production tells a service is asked of deploy/local/secure.py, as `make up SECURE=1` does; a lower rung leaves out
what it is without. All rungs have the same two servers, which take connections with TLS and without.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from chassis.testing import broker_urls, eventually, migrate

from attacks.edge import Edge
from attacks.production import administrator_of, with_login
from contestants import RETRY_DELAYS_SECONDS, Services, System, replicated
from generator import TOKEN_SECONDS, Access
from local import run_local
from operations.issuer import token
from rounds import EDGE
from system import ROOT, Service, attended, free_port, fresh_system

_STEP = ROOT / "deploy" / "rabbitmq" / "load_definitions.py"
_ASK = """
import json, layout, profiles, replicas, secure, servers
with profiles.changing({profile!r}):
    profile = profiles.load({profile!r})
    servers.take_tls(profile)
profile.ports |= {{replicas.ISSUER: {issuer_port}}} | {{replicas.internal(name): 0 for name in layout.SERVICES}}
operator = secure.of_operator(profile)
print(json.dumps({{
    "services": {{name: secure.of_service(profile, name) for name in layout.SERVICES}},
    "definitions": secure.of_definitions(profile),
    "tokens": {{name: operator[name] for name in ("OIDC_ISSUER", "OIDC_AUDIENCE", "ISSUER_KEYS")}},
    "broker port": profile.ports[profiles.RABBITMQ_TLS],
    "tls": str(profile.home / "tls"),
}}))
"""


@dataclass(frozen=True, slots=True)
class Rung:
    """Every rung has tokens, and for each service a broker user and a database login of its own."""

    servers: bool = False
    """TLS to PostgreSQL and RabbitMQ, which show that they are who they should be."""
    services: bool = False
    """TLS to the services, where both sides show a certificate."""
    edge: bool = False
    customers: bool = False
    """Every order is its customer's own, whose token the services see for the first time; else all are staff's, whose
    one token they remember."""


RUNGS = {
    "tokens": Rung(),
    "servers": Rung(servers=True),
    "services": Rung(servers=True, services=True),
    "edge": Rung(servers=True, services=True, edge=True),
    "customers": Rung(servers=True, services=True, edge=True, customers=True),
}


@dataclass(frozen=True)
class Production(System):
    edge: Edge | None = field(kw_only=True)

    @property
    def beside_pids(self) -> dict[str, list[int]]:
        return {EDGE: [self.edge.pid]} if self.edge else {}

    @property
    def order_urls(self) -> list[str]:
        return self._urls("order-service")

    @property
    def inventory_url(self) -> str:
        return self._urls("inventory-service")[0]

    def _urls(self, name: str) -> list[str]:
        scheme = "https" if self.access.tls else "http"
        direct = [f"{scheme}://127.0.0.1:{service.port}" for service in self.services[name]]
        return [self.edge.url] if self.edge else direct


class Builder:
    """Starts the system of any rung. `told` is what deploy/local/secure.py says."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told
        self._tls = Path(told["tls"])

    @asynccontextmanager
    async def system(self, name: str, logs: Path, replicas: int, success_rate: float) -> AsyncIterator[Production]:
        rung = RUNGS[name]
        async with (
            fresh_system(
                logs,
                started=False,
                with_definitions=False,
                PAYMENT_SUCCESS_RATE=str(success_rate),
                PAYMENT_RETRY_DELAYS_SECONDS=RETRY_DELAYS_SECONDS,
            ) as first,
            attended(first.services.values),
        ):
            async with administrator_of(first.vhost) as login:
                management = f"{with_login(broker_urls()[1], *login)}/{first.vhost}"
                await asyncio.to_thread(self._furnish, management)
            for service in first.services.values():
                self._settle(service, rung, first.database_url, first.vhost)
            await asyncio.gather(*(self._let_in(service, first.database_url) for service in first.services.values()))
            first.start()
            await first.healthy()
            async with replicated(first.services, replicas) as services, self._edge(rung, logs, services) as edge:
                headers = {"Authorization": f"Bearer {token('staff', sub='bench', seconds=TOKEN_SECONDS)}"}
                access = Access(headers, self._trust(rung), own_tokens=rung.customers, keys=True)
                yield Production(services, first.database_url, first.rabbitmq_url, access, edge=edge)

    def _furnish(self, management: str) -> None:
        """Gives the vhost at the end of this address what production has in it, and each service its own user."""
        environment = os.environ | self._told["definitions"] | {"RABBITMQ_MANAGEMENT_URL": management}
        subprocess.run(
            [sys.executable, str(_STEP)], env=environment, stdout=subprocess.DEVNULL, check=True, timeout=120
        )

    def _settle(self, service: Service, rung: Rung, database_url: str, vhost: str) -> None:
        told: dict[str, str] = dict(self._told["services"][service.name])
        broker = urlsplit(self._secret(told.pop("RABBITMQ_URL_FILE")))
        port = self._told["broker port"] if rung.servers else urlsplit(broker_urls()[0]).port
        broker = broker._replace(netloc=f"{broker.netloc.rpartition(':')[0]}:{port}", path=f"/{vhost}")
        told["RABBITMQ_URL"] = urlunsplit(broker if rung.servers else broker._replace(scheme="amqp", query=""))
        if file := told.pop("DATABASE_URL_FILE", ""):
            database = urlsplit(self._secret(file))._replace(path=urlsplit(database_url).path)
            told["DATABASE_URL"] = urlunsplit(database if rung.servers else database._replace(query=""))
        if not rung.servers:
            service.app = "unencrypted:app"
            told["PYTHONPATH"] = str(ROOT / "bench" / "unencrypted")
        if not rung.services:
            told = {name: value for name, value in told.items() if not name.startswith("UVICORN_SSL_")}
            told["ALLOW_PLAIN_HTTP"] = "true"
        service.environment |= told | {"INTERNAL_ADDRESS": f"127.0.0.1:{free_port()}"}

    @staticmethod
    def _secret(file: str) -> str:
        return Path(file).read_text().strip()

    async def _let_in(self, service: Service, database_url: str) -> None:
        """Lets the service's own login into the database."""
        if login := service.environment["DATABASE_URL"]:
            folder = ROOT / service.name
            await asyncio.to_thread(migrate, folder, database_url, "upgrade", "head", DATABASE_LOGINS=login)

    @asynccontextmanager
    async def _edge(self, rung: Rung, logs: Path, services: Services) -> AsyncIterator[Edge | None]:
        if not rung.edge:
            yield None
            return
        everybody = [service for those in services.values() for service in those]
        health = {service.port: urlsplit(service.internal_url).port or 0 for service in everybody}
        edge = Edge(
            logs,
            {name: [service.port for service in those] for name, those in services.items()},
            {"EDGE_SERVICES_CA": str(self._tls / "ca.crt"), "EDGE_CLIENT_CERTIFICATE": str(self._tls / "edge.crt")},
            certificates=self._tls,
            health_port=health.__getitem__,
        )

        async def all_up() -> bool:
            return all([len(await edge.up(name)) == len(those) for name, those in services.items()])

        try:
            await edge.start()
            await eventually(all_up, seconds=30)
            yield edge
        finally:
            edge.end()

    def _trust(self, rung: Rung) -> ssl.SSLContext | None:
        if not rung.services:
            return None
        trust = ssl.create_default_context(cafile=str(self._tls / "ca.crt"))
        if not rung.edge:
            trust.check_hostname = False  # a service's certificate has its name, which is no host's here
            trust.load_cert_chain(self._tls / "order-service.crt", self._tls / "order-service.key")
        return trust


@asynccontextmanager
async def builder(profile: str) -> AsyncIterator[Builder]:
    """Has the profile's servers take TLS too, and starts the issuer, whose tokens this process signs from then on."""
    port = free_port()
    printed = await asyncio.to_thread(run_local, _ASK.format(profile=profile, issuer_port=port))
    told = json.loads(printed.splitlines()[-1])
    os.environ |= told["tokens"]
    with (ROOT / ".run" / profile / "log" / "issuer.log").open("wb") as log:
        issuer = subprocess.Popen(  # noqa: ASYNC220  # it returns at once
            [sys.executable, "-m", "operations", "issuer", "--port", str(port)], stdout=log, stderr=subprocess.STDOUT
        )

    async def answers() -> bool:
        assert issuer.poll() is None, "the issuer has ended: see issuer.log"
        try:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"http://127.0.0.1:{port}/keys")).status_code == 200
        except httpx.TransportError:
            return False

    try:
        await eventually(answers, seconds=30)
        yield Builder(told)
    finally:
        issuer.terminate()
        issuer.wait(timeout=30)
