"""Test support for every folder: real servers, each test run in a database and a vhost of its own. A
conftest.py takes it in with `pytest_plugins = ["chassis.testing"]`.

Tests use the servers that DATABASE_URL, RABBITMQ_URL and RABBITMQ_MANAGEMENT_URL name, in the environment or in the
root's `.env`, else those of this clone's `make up`; never a server that merely answers on the usual port, which may be
somebody else's. Without one they are skipped, or fail if REQUIRE_SERVERS is set.
"""

import asyncio
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from chassis.messaging.topology import EXCHANGE, Queue
from chassis.ports.events import Received, routing_key
from chassis.ports.ids import uuid7
from chassis.ports.tracing import new_traceparent
from chassis.runtime import settings
from pydantic_settings import BaseSettings, SettingsConfigDict

_HOW = (
    "start the system with `make up`, name a server by DATABASE_URL, RABBITMQ_URL and RABBITMQ_MANAGEMENT_URL (or in"
    " .env), or run `make test` at the root, which brings its own"
)
DOTENV = settings.DOTENV
_MAKE = DOTENV.parent / "deploy" / "local" / "run.py"
settings.DOTENV = Path(os.devnull)
"""Services that run in the tests' own process have the tests' settings, not those of whoever works here."""


class NoServer(Exception):
    """Nothing says which server tests may use."""


class _Servers(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    database_url: str = ""
    rabbitmq_url: str = ""
    rabbitmq_management_url: str = ""


def _named() -> _Servers:
    """Those of the system that runs by make, and over them what the environment or .env names; RabbitMQ's two addresses
    are one server's."""
    named = _Servers(_env_file=DOTENV).model_dump(exclude_defaults=True)
    running = {} if len(named) == len(_Servers.model_fields) else _running_by_make()
    if any(name.startswith("rabbitmq") for name in named):
        running = {name: url for name, url in running.items() if not name.startswith("rabbitmq")}
    return _Servers.model_construct(**running | named)


@functools.cache
def _running_by_make() -> dict[str, str]:
    command = [sys.executable, str(_MAKE), "env", "--json", "--running", "--profile", "system"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return {name.lower(): url for name, url in json.loads(told.stdout).items()} if told.returncode == 0 else {}


def administrators_url() -> str:
    """PostgreSQL's, as asyncpg takes it. Raises NoServer."""
    if not (url := _named().database_url):
        raise NoServer("DATABASE_URL")
    return url.replace("+asyncpg", "")


def broker_urls() -> tuple[str, str]:
    """RabbitMQ's AMQP and management URLs. Raises NoServer."""
    found = _named()
    if not (found.rabbitmq_url and found.rabbitmq_management_url):
        raise NoServer("RABBITMQ_URL and RABBITMQ_MANAGEMENT_URL")
    return found.rabbitmq_url, found.rabbitmq_management_url


def _unavailable(server: str, error: Exception) -> None:
    what = f"nothing names {error}" if isinstance(error, NoServer) else f"it does not answer ({type(error).__name__})"
    message = f"{server}: {what}: {_HOW}"
    if os.environ.get("REQUIRE_SERVERS"):
        pytest.fail(message)
    pytest.skip(message)


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


def make_database(*service_folders: Path) -> tuple[str, Callable[[], None]]:
    """A fresh database, brought up to date by the migrations of these services: its URL, and what removes it."""
    admin_url = administrators_url()
    name = f"test_{uuid4().hex[:12]}"

    async def run(statement: str) -> None:
        connection = await asyncpg.connect(admin_url, timeout=5)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run(f"CREATE DATABASE {name}"))
    url = _with_path(admin_url, name).replace("postgresql://", "postgresql+asyncpg://")
    for folder in service_folders:
        migrate(folder, url, "upgrade", "head")
    return url, lambda: asyncio.run(run(f"DROP DATABASE {name} WITH (FORCE)"))


def migrate(folder: Path, database_url: str, *command: str, **environment: str) -> str:
    """Runs Alembic as a person does, in the service's folder with its own interpreter; returns what it printed."""
    python = folder / ".venv" / "bin" / "python"
    run = subprocess.run(
        [str(python) if python.exists() else sys.executable, "-m", "alembic", *command],
        cwd=folder,
        env={**os.environ, **environment, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, (run.stdout + run.stderr)[-2000:]
    return run.stdout + run.stderr


def make_vhost() -> tuple[str, str, Callable[[], None]]:
    """A fresh vhost: its AMQP URL, its name, and what removes it."""
    amqp_url, management_url = broker_urls()
    name = f"test_{uuid4().hex[:12]}"
    with httpx.Client(base_url=management_url, timeout=10) as client:
        client.put(f"/api/vhosts/{name}").raise_for_status()

    def remove() -> None:
        with httpx.Client(base_url=management_url, timeout=30) as client:
            client.delete(f"/api/vhosts/{name}").raise_for_status()

    return _with_path(amqp_url, name), name, remove


def topology_problems(definitions: Path, queue: Queue, published: Iterable[str]) -> list[str]:
    """Where deploy/rabbitmq/definitions.json and a service's own part of the map differ, as sentences."""
    document = json.loads(definitions.read_text())
    bindings = [binding for binding in document["bindings"] if binding["destination"] != "order_events.tap"]
    bound = {b["routing_key"] for b in bindings if (b["source"], b["destination"]) == (EXCHANGE, queue.service)}
    read = {binding["routing_key"] for binding in bindings if binding["source"] == EXCHANGE}
    queues = {declared["name"]: declared["arguments"] for declared in document["queues"]}
    problems = [
        f"{key} is bound or read, but not both" for key in bound.symmetric_difference(map(routing_key, queue.events))
    ]
    problems += [f"{key} is published, and no queue takes it" for key in set(map(routing_key, published)) - read]
    if queues.get(queue.service) != queue.queues[queue.service]:
        problems.append(f"the queue {queue.service} is declared with {queues.get(queue.service)}")
    if f"{queue.service}.dlq" not in queues:
        problems.append(f"{queue.service} has no dead-letter queue")
    return problems


@pytest.fixture(scope="session")
def database_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """A database of this test run's own, with the schema of the service in whose folder pytest runs."""
    try:
        url, remove = make_database(
            *([pytestconfig.rootpath] if (pytestconfig.rootpath / "alembic.ini").exists() else [])
        )
    except (NoServer, OSError, asyncpg.PostgresError) as error:
        _unavailable("PostgreSQL", error)
        raise
    yield url
    remove()


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """A vhost of this test run's own."""
    try:
        url, _, remove = make_vhost()
    except (NoServer, httpx.HTTPError) as error:
        _unavailable("RabbitMQ", error)
        raise
    yield url
    remove()


watched: list[Callable[[], None]] = []
"""Looked at while anybody waits: each raises when what it watches has ended, so that nobody waits for it any more."""


async def eventually(condition: Callable[[], object], *, seconds: float = 15) -> None:
    """Waits until the condition (which may be a coroutine function) holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            for look in watched:
                look()
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.02)


def received(
    data: object, *, event_id: UUID | None = None, traceparent: str | None = None, repeat: bool = False
) -> Received:
    """An event as a use case gets it, with `data` as the consumer's class for it."""
    order_id = getattr(data, "order_id", None)
    trace = traceparent or new_traceparent()
    return Received(event_id or uuid7(), type(data).__name__, str(order_id), trace, data, None, repeat)
