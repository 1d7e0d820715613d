"""Passwords are replaced while orders are placed: no order is refused, and none is lost."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import quote
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
from way import development_only

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
        self.user = f"rotated_{token_urlsafe(8)}"
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

    async def last_use_in_the_database(self, administrator: asyncpg.Connection, login: str) -> str:
        """When a session of the login last began or ended anything."""
        last = SESSIONS.replace("count(*)", "coalesce(max(state_change)::text, '')")
        return str(await administrator.fetchval(last, [f"{role}_{login}" for role in ROLES.values()]))

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

    async def give_the_broker_another_password(self, broker: httpx.AsyncClient) -> None:
        """The user stays: what it publishes bears its name."""
        password = token_urlsafe()
        (await broker.put(f"/api/users/{self.user}", json={"password": password, "tags": ""})).raise_for_status()
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        (await broker.put(f"/api/permissions/{self._system.vhost}/{self.user}", json=rights)).raise_for_status()
        url = make_url(self._system.rabbitmq_url).set(username=self.user, password=password)
        self._write("rabbitmq", url.render_as_string(hide_password=False))

    async def close_connections_to_the_broker(self, broker: httpx.AsyncClient) -> None:
        """Those of the password before."""
        old = await self._connections(broker)
        assert len(old) == 2 * len(SERVICES)
        for name in old:
            answer = await broker.delete(f"/api/connections/{quote(name)}")
            assert answer.status_code in (204, 404), "a service that loses one of its two connections closes the other"

        async def are_renewed() -> bool:
            new = await self._connections(broker)
            return len(new) == len(old) and new.isdisjoint(old)

        await eventually(are_renewed, seconds=60)

    async def _connections(self, broker: httpx.AsyncClient) -> set[str]:
        found = (await broker.get(f"/api/vhosts/{self._system.vhost}/connections")).json()
        return {connection["name"] for connection in found if connection.get("user") == self.user}

    def _file(self, name: str) -> str:
        return str(self._folder / f"{name}.url")

    def _write(self, name: str, url: str) -> None:
        draft = self._folder / "draft"
        draft.write_text(url + "\n")
        draft.replace(self._file(name))


@development_only("it replaces the passwords of logins that the other systems on these servers have there")
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
        await secrets.give_the_broker_another_password(broker)
        secrets.start()
        await system.healthy()
        shop = Shop(system, client)
        product = await shop.stock(1_000_000)
        customers = Customers(shop, product)
        try:
            async with customers.placing():
                await customers.go_on()
                await secrets.let_in_to_the_database("b")
                await customers.go_on()
                used = await secrets.last_use_in_the_database(administrator, "a")
                await customers.go_on()
                assert await secrets.last_use_in_the_database(administrator, "a") <= used
                await secrets.shut_out_of_the_database(administrator, "a")
                await customers.go_on()
                await secrets.give_the_broker_another_password(broker)
                await secrets.close_connections_to_the_broker(broker)
                await system.healthy()
                await customers.go_on()
            assert not await settled_books(system.database_url, {product: 1_000_000}, within_seconds=90)
            placed = await administrator.fetchval("SELECT count(*) FROM orders.orders WHERE status = 'completed'")
            assert placed >= len(customers.answers)
        finally:
            await administrator.close()
            (await broker.delete(f"/api/users/{secrets.user}")).raise_for_status()
