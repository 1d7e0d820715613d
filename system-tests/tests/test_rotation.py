"""Passwords are replaced while orders are placed: no order is refused, and none is lost."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_urlsafe
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from chassis.testing import eventually, migrate
from sqlalchemy import make_url

from operations.addresses import ROLES, SERVICES
from operations.load import settled_books
from operations.shop import Line
from shop import Shop
from system import ROOT, System, fresh_system, management_url

CLIENTS = 4
ORDERS_IN_EACH_STATE = 100
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = ANY ($1)"


class Customers:
    """Place orders without a pause, and note every answer."""

    def __init__(self, shop: Shop, product: UUID) -> None:
        self._shop = shop
        self._line = Line(product)
        self.answers: list[int] = []

    @asynccontextmanager
    async def placing(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._place()) for _ in range(CLIENTS)]
            yield
            for task in tasks:
                task.cancel()

    async def _place(self) -> None:
        while True:
            self.answers.append((await self._shop.ask(self._line)).status_code)

    async def go_on(self) -> None:
        wanted = len(self.answers) + ORDERS_IN_EACH_STATE
        await eventually(lambda: len(self.answers) >= wanted, seconds=60)
        assert set(self.answers) == {201}


class Secrets:
    """The files from which the services have their URLs, and who may log in with them."""

    def __init__(self, folder: Path, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._system = system
        self._monkeypatch = monkeypatch
        self.users: list[str] = []
        """Of the broker."""

    def start(self) -> None:
        for name in SERVICES:
            files = {"RABBITMQ_URL_FILE": self._file("rabbitmq"), "DATABASE_URL_FILE": self._file(name)}
            self._system.start(name, **files, DATABASE_URL="", RABBITMQ_URL="")

    async def let_in_to_the_database(self, login: str) -> None:
        """Lets `orders_<login>` and its like log in, and names them in the services' files."""
        for name, role in ROLES.items():
            url = make_url(self._system.database_url).set(username=f"{role}_{login}", password=token_urlsafe())
            written = url.render_as_string(hide_password=False)
            with self._monkeypatch.context() as administrator:
                administrator.setenv("DATABASE_LOGINS", written)
                await asyncio.to_thread(migrate, ROOT / name, self._system.database_url, "upgrade", "head")
            self._write(name, written)

    async def shut_out_of_the_database(self, administrator: asyncpg.Connection, login: str) -> None:
        """As docs/operations.md says."""
        for role in ROLES.values():
            await administrator.execute(f"ALTER ROLE {role}_{login} NOLOGIN")
        idle = SESSIONS.replace("count(*)", "count(pg_terminate_backend(pid))") + " AND state = 'idle'"
        logins = [f"{role}_{login}" for role in ROLES.values()]

        async def are_out() -> bool:
            await administrator.fetchval(idle, logins)
            return bool(await administrator.fetchval(SESSIONS, logins) == 0)

        await eventually(are_out)

    async def let_in_to_the_broker(self, broker: httpx.AsyncClient) -> None:
        user, password = f"rotated_{token_urlsafe(8)}", token_urlsafe()
        (await broker.put(f"/api/users/{user}", json={"password": password, "tags": ""})).raise_for_status()
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        (await broker.put(f"/api/permissions/{self._system.vhost}/{user}", json=rights)).raise_for_status()
        self.users.append(user)
        url = make_url(self._system.rabbitmq_url).set(username=user, password=password)
        self._write("rabbitmq", url.render_as_string(hide_password=False))

    async def shut_out_of_the_broker(self, broker: httpx.AsyncClient) -> None:
        """RabbitMQ closes the connections of a user that is deleted."""
        (await broker.delete(f"/api/users/{self.users.pop(0)}")).raise_for_status()

    def _file(self, name: str) -> str:
        return str(self._folder / f"{name}.url")

    def _write(self, name: str, url: str) -> None:
        draft = self._folder / "draft"
        draft.write_text(url + "\n")
        draft.replace(self._file(name))


@pytest.mark.skipif(
    "ORDER_PROCESSING_PROFILE" not in os.environ,
    reason="replaces passwords of the whole server: run `make test` at the root, which brings its own",
)
async def test_passwords_of_database_and_broker_are_replaced_under_load(
    servers: None, tmp_path: Path, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        fresh_system(tmp_path, started=False, PAYMENT_SUCCESS_RATE="1") as system,
        httpx.AsyncClient(base_url=management_url(), timeout=30) as broker,
    ):
        administrator = await asyncpg.connect(system.database_url.replace("+asyncpg", ""))
        secrets = Secrets(tmp_path, system, monkeypatch)
        await secrets.let_in_to_the_database("a")
        await secrets.let_in_to_the_broker(broker)
        secrets.start()
        await system.healthy()
        shop = Shop(system.urls, client)
        product = await shop.stock(1_000_000)
        customers = Customers(shop, product)
        try:
            async with customers.placing():
                await customers.go_on()
                await secrets.let_in_to_the_database("b")
                await customers.go_on()
                await secrets.shut_out_of_the_database(administrator, "a")
                await customers.go_on()
                await secrets.let_in_to_the_broker(broker)
                await secrets.shut_out_of_the_broker(broker)
                await customers.go_on()
                await system.healthy()
                await customers.go_on()
            assert await users_of(broker, system) == set(secrets.users)
            assert not await settled_books(system.database_url, {product: 1_000_000}, within_seconds=90)
            placed = await administrator.fetchval("SELECT count(*) FROM orders.orders WHERE status = 'completed'")
            assert placed >= len(customers.answers)
        finally:
            await administrator.close()
            for _ in list(secrets.users):
                await secrets.shut_out_of_the_broker(broker)


async def users_of(broker: httpx.AsyncClient, system: System) -> set[str]:
    connections: list[Mapping[str, str]] = (await broker.get(f"/api/vhosts/{system.vhost}/connections")).json()
    return {connection["user"] for connection in connections}
