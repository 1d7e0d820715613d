"""The four services as processes of their own, in a database and a vhost of the run's own.

async with fresh_system(log_folder, PAYMENT_SUCCESS_RATE="1") as system:
    ...                                    # all four are healthy
    await system.kill("payment-service")
    system.start("payment-service")
    await system.healthy()
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from chassis.testing import broker_urls, eventually, make_database, make_vhost, migrate, watched

import way
from attacks.edge import Edge
from machine import ROOT as ROOT
from machine import free_port as free_port
from machine import internal_port, is_free
from operations.addresses import ROLES, SERVICES
from proxy import Proxy
from way import SECURE

DEFINITIONS = ROOT / "deploy" / "rabbitmq" / "definitions.json"

HEALTHY_WITHIN_SECONDS = 45
STOPPED_WITHIN_SECONDS = 40
_OPEN_REQUESTS_SECONDS = 10
_LOOK_EVERY_SECONDS = 0.1
_HTTP = ("--http", "chassis.http.protocol:BoundedProtocol", "--timeout-keep-alive", "75")  # as make and the images do

# Settings that the developer's own environment must not bring in.
_SETTINGS = {
    "ORDER_EXPIRES_AFTER_SECONDS": "900",
    "MAX_OPEN_ORDERS_PER_CUSTOMER": "100",
    "PAYMENT_RETRY_DELAYS_SECONDS": "0.2,0.4,0.6",
    "PAYMENT_SUCCESS_RATE": "0.8",
    "PAYMENT_DECLINE_RATE": "0",
    "PAYMENT_TIMEOUT_RATE": "0",
    "DATABASE_POOL_SIZE": "10",
    "CURRENCY": "USD",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "",
}


class Ended(AssertionError):
    """A service that should run does not."""


class Service:
    """One service, run from its folder as a person would, with the folder's own interpreter where it has one."""

    def __init__(self, name: str, log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self.port = free_port()
        self.environment = dict(environment)
        self.app = "main:app"
        """What uvicorn runs; it may be found by a PYTHONPATH in the environment."""
        self.known_as = name
        """What its /health calls it."""
        self.mortal = False
        """Whether it may end by itself."""
        self._process: subprocess.Popen[bytes] | None = None
        self._port_is_known = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def internal_url(self) -> str:
        """Where it tells of its health and its metrics."""
        address = self.environment.get("INTERNAL_ADDRESS")
        return f"http://{address}" if address else self.url

    @property
    def started(self) -> bool:
        """And not ended by us since."""
        return self._process is not None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    def start(self, **settings: str) -> None:
        """Starts it without waiting; `settings` are kept for later starts too. So is the port, from the first on."""
        assert not self.running, f"{self.name} runs already"
        if not self._port_is_known and not is_free(self.port):
            self.port = free_port()
        self._port_is_known = True
        self.environment |= settings
        if SECURE:
            self.environment["INTERNAL_ADDRESS"] = f"127.0.0.1:{internal_port(self.port)}"
        own = ROOT / self.name / ".venv" / "bin" / "uvicorn"
        program = [str(own)] if own.exists() else [sys.executable, "-m", "uvicorn"]
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        options = ["--no-access-log", "--no-server-header", *_HTTP]
        options += ["--timeout-graceful-shutdown", str(_OPEN_REQUESTS_SECONDS)]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*program, self.app, *address, *options],
                cwd=ROOT / self.name,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    async def end(self, number: signal.Signals) -> int | None:
        """Signals the process and waits for its end; returns its exit status, None if it did not run."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(number)
        try:
            return await asyncio.to_thread(process.wait, STOPPED_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait, STOPPED_WITHIN_SECONDS)
            raise TimeoutError(f"{self.name} did not end by {number.name}; its log ends:\n{self.tail()}") from None

    def look(self) -> None:
        """Raises Ended if it has ended by itself."""
        if self.started and not self.mortal:
            self.must_run()

    def must_run(self) -> None:
        if not self.running:
            status = self._process and self._process.returncode
            raise Ended(f"{self.name} has ended (status {status}); its log ends:\n{self.tail()}")

    async def health(self, path: str = "/health") -> tuple[int, dict[str, Any]]:
        """The answer of a health endpoint; status 0 if there is none."""
        try:
            async with httpx.AsyncClient(timeout=15) as client:
                answer = await client.get(f"{self.internal_url}{path}")
                return answer.status_code, answer.json()
        except httpx.TransportError:
            return 0, {}

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged, over all its starts; what is no JSON (a crash's traceback) is the `event` of its line."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return [json.loads(line) if line.startswith("{") else {"event": line} for line in text.splitlines()]

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


class System:
    def __init__(
        self,
        log_folder: Path,
        *,
        database_url: str,
        rabbitmq_url: str,
        database: Proxy | None = None,
        broker: Proxy | None = None,
        settings: Mapping[str, str],
    ) -> None:
        """`database_url` (an administrator's) and `rabbitmq_url` are the direct ways, for whoever watches; the services
        take the ways through the proxies, where there are any."""
        self.database_url = database_url
        self.rabbitmq_url = rabbitmq_url
        self.vhost = urlsplit(rabbitmq_url).path.removeprefix("/")
        self.database = database
        self.broker = broker
        inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        shared = inherited | _SETTINGS | dict(settings)
        servers = through(database_url, database), through(rabbitmq_url, broker)
        self.services = {
            name: Service(name, log_folder / f"{name}.log", shared | way.of_service(name, *servers))
            for name in SERVICES
        }
        self.edge = way.edge(log_folder)

    @property
    def urls(self) -> dict[str, str]:
        """Where callers ask the services."""
        return {name: self.edge.url if self.edge else service.url for name, service in self.services.items()}

    @property
    def internal_urls(self) -> dict[str, str]:
        return {name: service.internal_url for name, service in self.services.items()}

    def start(self, *names: str, **settings: str) -> None:
        """Starts these services (all, if none is named) without waiting for them."""
        for name in names or SERVICES:
            self.services[name].start(**settings)

    async def stop(self, *names: str) -> dict[str, int | None]:
        """Ends these services (all, if none is named) by SIGTERM, at the same time; returns their exit statuses."""
        return await self._end(names or SERVICES, signal.SIGTERM)

    async def kill(self, *names: str) -> None:
        """Ends these services as a crash would: no chance to finish anything."""
        await self._end(names or SERVICES, signal.SIGKILL)

    async def _end(self, names: tuple[str, ...], number: signal.Signals) -> dict[str, int | None]:
        statuses = await asyncio.gather(*(self.services[name].end(number) for name in names))
        return dict(zip(names, statuses, strict=True))

    async def restart(self, *names: str, **settings: str) -> None:
        """Stops these services, starts them with the changed settings and returns once they are healthy."""
        await self.stop(*names)
        self.start(*names, **settings)
        await self.healthy(*names)

    async def health(self, name: str, path: str = "/health") -> tuple[int, dict[str, Any]]:
        return await self.services[name].health(path)

    async def healthy(self, *names: str, within_seconds: float = HEALTHY_WITHIN_SECONDS) -> None:
        """Returns once these services (all, if none is named) answer /health with 200, and callers reach them."""
        services = [self.services[name] for name in names or SERVICES]
        await all_healthy(services, within_seconds=within_seconds)
        if self.edge:
            await self._behind(self.edge, services)

    async def _behind(self, edge: Edge, services: Sequence[Service]) -> None:
        """Returns once the edge, which starts with them, sends requests to these services."""
        if not edge.started:
            edge.replicas = {name: [s.port for s in self.services.values() if s.name == name] for name in SERVICES}
            await edge.start()

        async def all_up() -> bool:
            up = {name: await edge.up(name) for name in {service.name for service in services}}
            return all(str(edge.replicas[s.name].index(s.port) + 1) in up[s.name] for s in services)

        await eventually(all_up, seconds=HEALTHY_WITHIN_SECONDS)

    def look(self) -> None:
        """Raises Ended if one of the services has ended by itself."""
        for service in self.services.values():
            service.look()


async def all_healthy(services: Sequence[Service], *, within_seconds: float = HEALTHY_WITHIN_SECONDS) -> None:
    """Returns once these, and not others on their ports, answer /health with 200. Raises Ended at once if one ends."""

    async def all_well() -> bool:
        for service in services:
            service.must_run()
        answers = [await service.health() for service in services]
        told = [(service.known_as, 200) for service in services]
        return [(body.get("service"), status) for status, body in answers] == told

    try:
        await eventually(all_well, seconds=within_seconds)
    except TimeoutError:
        states = {service.name: await service.health() for service in services}
        raise AssertionError(f"not healthy after {within_seconds} s: {states}") from None


@asynccontextmanager
async def attended(services: Callable[[], Iterable[Service]]) -> AsyncIterator[None]:
    """What is done meanwhile ends with Ended as soon as one of the services ends by itself, whatever it waits for."""
    body = asyncio.current_task()
    assert body is not None
    ended: Ended | None = None

    def look() -> None:
        for service in services():
            service.look()

    async def watch() -> None:
        nonlocal ended
        while ended is None:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            try:
                look()
            except Ended as error:
                ended = error
                body.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if ended is None:
            raise
        body.uncancel()
        raise ended from None
    except Exception:
        await asyncio.sleep(_LOOK_EVERY_SECONDS)  # a connection ends before its process does
        look()
        raise
    finally:
        watching.cancel()


@asynccontextmanager
async def fresh_system(
    log_folder: Path, *, started: bool = True, proxied: bool = False, with_definitions: bool = True, **settings: str
) -> AsyncIterator[System]:
    """A system of its own, removed with all its data afterwards. `proxied` puts proxies before both servers."""
    database_url, drop_database = await asyncio.to_thread(make_database)
    try:
        await migrate_all(database_url)
        rabbitmq_url, vhost, delete_vhost = await asyncio.to_thread(make_vhost)
        try:
            async with (
                _furnished(vhost, with_definitions=with_definitions),
                _proxies(database_url, rabbitmq_url, wanted=proxied) as (database, broker),
            ):
                system = System(
                    log_folder,
                    database_url=database_url,
                    rabbitmq_url=rabbitmq_url,
                    database=database,
                    broker=broker,
                    settings=settings,
                )
                watched.append(system.look)
                try:
                    if started:
                        system.start()
                        await system.healthy()
                    yield system
                finally:
                    watched.remove(system.look)
                    await system.kill()
                    if system.edge:
                        system.edge.end()
        finally:
            await asyncio.to_thread(delete_vhost)
    finally:
        await asyncio.to_thread(drop_database)


async def migrate_all(database_url: str) -> None:
    """All three histories at the same time, as `make up` does."""

    def upgrade(name: str) -> None:
        migrate(ROOT / name, database_url, "upgrade", "head", **way.of_migration(name))

    await asyncio.gather(*(asyncio.to_thread(upgrade, name) for name in ROLES))


def management_url() -> str:
    return broker_urls()[1]


@asynccontextmanager
async def _furnished(vhost: str, *, with_definitions: bool) -> AsyncIterator[None]:
    """The whole map of exchanges, queues and bindings, as `make up` loads it before any service starts. In production
    services declare nothing, so that there is no system without."""
    if SECURE:
        async with way.furnished(vhost):
            yield
        return
    if with_definitions:
        async with httpx.AsyncClient(base_url=management_url(), timeout=30) as client:
            answer = await client.post(f"/api/definitions/{vhost}", json=json.loads(DEFINITIONS.read_text()))
            answer.raise_for_status()
    yield


@asynccontextmanager
async def _proxies(
    database_url: str, rabbitmq_url: str, *, wanted: bool
) -> AsyncIterator[tuple[Proxy | None, Proxy | None]]:
    if not wanted:
        yield None, None
        return
    async with Proxy(database_url, default_port=5432) as database, Proxy(rabbitmq_url, default_port=5672) as broker:
        yield database, broker


def through(url: str, proxy: Proxy | None) -> str:
    """The way to the server of the URL, by the proxy where there is one."""
    if proxy is None:
        return url
    parts = urlsplit(url)
    login = f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}"
    return urlunsplit(parts._replace(netloc=login))
