"""The three that are measured: how each is started, and what its books have to say."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
from chassis.testing import make_database, make_vhost

from generator import Access
from operations import books
from system import ROOT, Service, all_healthy, attended, free_port, fresh_system

Services = Mapping[str, Sequence[Service]]
"""By name, with all replicas."""

_BASELINE = {
    "order-service": "orders:app",
    "inventory-service": "inventory:app",
    "payment-service": "payments:app",
    "notification-service": "notifications:app",
}
# Short, since whoever waits for the last order waits for the last attempt of all.
RETRY_DELAYS_SECONDS = "0.1,0.2,0.4"


@dataclass(frozen=True)
class Floor:
    """The order service's HTTP side and nothing behind it."""

    services: Services

    @property
    def order_urls(self) -> list[str]:
        return [service.url for service in self.services["order-service"]]

    @property
    def pids(self) -> dict[str, list[int]]:
        return {name: [service.pid for service in replicas] for name, replicas in self.services.items()}


@dataclass(frozen=True)
class Baseline(Floor):
    """The same saga as the system's, written the usual way."""

    database_url: str
    rabbitmq_url: str

    access: Access = field(default_factory=Access)

    orders: ClassVar = "orders"
    open_orders: ClassVar = "orders WHERE status IN ('pending', 'confirmed')"

    @property
    def beside_pids(self) -> dict[str, list[int]]:
        return {}

    @property
    def inventory_url(self) -> str:
        return self.services["inventory-service"][0].url

    @property
    def vhost(self) -> str:
        return urlsplit(self.rabbitmq_url).path.removeprefix("/")

    async def violations(self, initial: Mapping[UUID, int]) -> list[str]:
        """What does not agree once nothing moves any more, a sentence each."""
        database = await asyncpg.connect(self.database_url.replace("+asyncpg", ""))
        try:
            disagreeing = await database.fetch(_DISAGREEING_ORDERS)
            stocks = await database.fetch(_STOCKS)
        finally:
            await database.close()
        found = [
            f"Order {row['id']} is {row['status']}, its reservation {row['reservation']}, its payment {row['payment']}."
            for row in disagreeing
        ]
        for row in stocks:
            there = row["quantity_available"] + row["reserved_quantity"] + row["sold"]
            if there != initial[row["product_id"]] or row["reserved_quantity"] != row["held"]:
                found.append(f"Product {row['product_id']} began with {initial[row['product_id']]}; now {dict(row)}.")
        return found


@dataclass(frozen=True)
class System(Baseline):
    """The four services as they are."""

    orders: ClassVar = "orders.orders"
    open_orders: ClassVar = "orders.orders WHERE due_at IS NOT NULL"

    async def violations(self, initial: Mapping[UUID, int]) -> list[str]:
        return await books.audit(self.database_url, initial)


_DISAGREEING_ORDERS = """
    SELECT o.id, o.status, r.status AS reservation, p.status AS payment
    FROM orders o LEFT JOIN reservations r ON r.order_id = o.id LEFT JOIN payments p ON p.order_id = o.id
    WHERE NOT CASE
        WHEN o.status = 'completed' THEN r.status = 'sold' AND p.status = 'completed'
        WHEN o.status IN ('failed', 'cancelled') THEN
            coalesce(r.status, 'absent') IN ('absent', 'refused', 'released')
            AND coalesce(p.status, 'absent') IN ('absent', 'failed', 'refunded')
        ELSE false
    END
"""
_STOCKS = """
    SELECT i.*, coalesce(held, 0) AS held, coalesce(sold, 0) AS sold
    FROM inventory_items i LEFT JOIN (
        SELECT (line->>'product_id')::uuid AS product_id,
               sum((line->>'quantity')::int) FILTER (WHERE r.status = 'held') AS held,
               sum((line->>'quantity')::int) FILTER (WHERE r.status = 'sold') AS sold
        FROM reservations r, jsonb_array_elements(r.items) AS line GROUP BY 1
    ) AS lines USING (product_id)
"""


@asynccontextmanager
async def floor(logs: Path) -> AsyncIterator[Floor]:
    app = _app("floor", "main:app", logs, PYTHONPATH=str(ROOT / "order-service"))
    async with started([app]):
        yield Floor({"order-service": [app]})


@asynccontextmanager
async def baseline(logs: Path, replicas: int, success_rate: float) -> AsyncIterator[Baseline]:
    database_url, drop_database = await asyncio.to_thread(make_database)
    try:
        rabbitmq_url, _, delete_vhost = await asyncio.to_thread(make_vhost)
        try:
            settings = {
                "DATABASE_URL": database_url,
                "RABBITMQ_URL": rabbitmq_url,
                "PAYMENT_SUCCESS_RATE": str(success_rate),
            }
            first = {name: _app("baseline", app, logs, **settings) for name, app in _BASELINE.items()}
            async with started(list(first.values())), replicated(first, replicas) as services:
                yield Baseline(services, database_url, rabbitmq_url)
        finally:
            await asyncio.to_thread(delete_vhost)
    finally:
        await asyncio.to_thread(drop_database)


@asynccontextmanager
async def system(
    logs: Path, replicas: int, success_rate: float, *, keys: bool = False, traces_to: str = ""
) -> AsyncIterator[System]:
    async with (
        fresh_system(
            logs,
            PAYMENT_SUCCESS_RATE=str(success_rate),
            PAYMENT_RETRY_DELAYS_SECONDS=RETRY_DELAYS_SECONDS,
            OTEL_EXPORTER_OTLP_ENDPOINT=traces_to,
            OTEL_TRACES_SAMPLER_ARG=os.environ.get("OTEL_TRACES_SAMPLER_ARG", "0.01"),
        ) as first,
        attended(first.services.values),
        replicated(first.services, replicas) as services,
    ):
        yield System(services, first.database_url, first.rabbitmq_url, Access(keys=keys))


def _app(folder: str, app: str, logs: Path, **settings: str) -> Service:
    service = Service(f"bench/{folder}", logs / f"{app.partition(':')[0]}.log", os.environ | settings)
    service.app = app
    service.known_as = folder if app == "main:app" else app.partition(":")[0]
    return service


@asynccontextmanager
async def replicated(first: Mapping[str, Service], replicas: int) -> AsyncIterator[Services]:
    """Started only once the first of each is healthy: the baseline's make their tables themselves."""
    others: dict[str, list[Service]] = {name: [] for name in first}
    for name, service in first.items():
        for number in range(2, replicas + 1):
            copy = Service(service.name, service.log.with_name(f"{name}-{number}.log"), service.environment)
            copy.app, copy.known_as = service.app, service.known_as
            if "INTERNAL_ADDRESS" in copy.environment:
                copy.environment["INTERNAL_ADDRESS"] = f"127.0.0.1:{free_port()}"
            others[name].append(copy)
    async with started([copy for copies in others.values() for copy in copies]):
        yield {name: [service, *others[name]] for name, service in first.items()}


@asynccontextmanager
async def started(services: Sequence[Service]) -> AsyncIterator[None]:
    """Running and healthy, and killed afterwards. Whoever ends meanwhile ends the round."""
    try:
        for service in services:
            service.start()
        await all_healthy(services)
        async with attended(lambda: services):
            yield
    finally:
        await asyncio.gather(*(service.end(signal.SIGKILL) for service in services))
