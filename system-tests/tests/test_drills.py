"""Each alert is fired by the fault that it is for, and ended by what docs/operations.md says to do about it.

On a real Prometheus and Alertmanager, for which a minute of the rules is a second (watching.py).
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # it ships none
from chassis.testing import eventually

import way
from bus import Bus, bus
from chaos.poison import read_by
from operations.shop import Line
from proxy import Proxy
from shop import Shop
from system import ROOT, System
from watching import OBSERVABILITY, RULES, Watch, servers_ports, watched

pytestmark = way.development_only("drills break things by the routes of development")

_WITHIN_SECONDS = 60
_RABBITMQCTL = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")


@dataclass(frozen=True, slots=True)
class Scene:
    system: System
    watch: Watch
    shop: Shop
    product: UUID
    """Of which there is enough."""
    bus: Bus
    broker: Proxy
    database: Proxy
    client: httpx.AsyncClient

    async def sql(self, statement: str) -> None:
        """Beside the services."""
        connection = await asyncpg.connect(self.system.database_url.replace("+asyncpg", ""))
        await connection.execute(statement)
        await connection.close()

    async def orders(self, number: int) -> list[str]:
        placed = await asyncio.gather(*[self.shop.place(Line(self.product)) for _ in range(number)])
        return [order["id"] for order in placed]

    async def development(self, service: str, act: str, **body: str) -> None:
        (await self.client.post(f"{self.system.urls[service]}/development/{act}", json=body)).raise_for_status()

    async def operations(self, *command: str) -> tuple[int, str]:
        """Exit status and what it printed."""
        servers = {"DATABASE_URL": self.system.database_url, "RABBITMQ_URL": self.system.rabbitmq_url}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "operations", *command, env=os.environ | servers, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()


Fault = Callable[[Scene], AbstractAsyncContextManager[None]]
"""Entered it is there; left, the runbook has been followed."""
DRILLS: dict[str, tuple[Fault, dict[str, dict[str, str]]]] = {}
"""By fault: the alerts that it fires, with labels."""


def fires(**alerts: dict[str, str]) -> Callable[[Callable[[Scene], AsyncIterator[None]]], None]:
    def register(fault: Callable[[Scene], AsyncIterator[None]]) -> None:
        DRILLS[fault.__name__] = asynccontextmanager(fault), alerts

    return register


@fires(BooksDisagree={})
async def somebody_writes_to_the_stock(scene: Scene) -> AsyncIterator[None]:
    product = await scene.shop.stock(7)
    change = "UPDATE inventory.inventory_items SET reserved_quantity = reserved_quantity {} 1 WHERE product_id = '{}'"
    await scene.sql(change.format("+", product))
    yield
    status, said = await scene.operations("books")
    assert status == 1
    assert str(product) in said
    await scene.sql(change.format("-", product))


@fires(SomethingIsOverdue={"kind": "order"})
async def orders_outlive_their_deadline(scene: Scene) -> AsyncIterator[None]:
    """Nobody decides them, and three minutes pass."""
    await scene.system.stop("inventory-service")
    await scene.orders(1)
    await scene.system.stop("order-service")
    await scene.sql(
        "UPDATE orders.orders SET expires_at = now() - interval '3 min', due_at = now() WHERE due_at IS NOT NULL"
    )
    yield
    assert (await scene.operations("books"))[0] == 1
    scene.system.start("order-service", "inventory-service")
    await scene.system.healthy()


@fires(PaymentsOfUnknownOutcome={"kind": "unknown-outcome"})
async def the_gateway_does_not_say_what_became_of_a_payment(scene: Scene) -> AsyncIterator[None]:
    """It is asked ten times, between which the time passes quickly."""
    await scene.development("payment-service", "gateway", answers="silent")
    (order,) = await scene.orders(1)

    async def asked_often() -> bool:
        await scene.sql(f"UPDATE payments.payments SET due_at = now() WHERE order_id = '{order}' AND due_at > now()")
        return "nobody knows" in (await scene.operations("books"))[1]

    await eventually(asked_often, seconds=60)
    yield
    await scene.development("payment-service", "gateway", answers="normal")
    await scene.sql(f"UPDATE payments.payments SET due_at = now() WHERE order_id = '{order}' AND due_at > now()")
    await scene.shop.ended(order, within_seconds=60)


@fires(BooksNotRead={}, NotWatched={"job": "metrics"})
async def nobody_reads_the_books(scene: Scene) -> AsyncIterator[None]:
    scene.watch.end("metrics")
    yield
    scene.watch.start("metrics")


@fires(DeadLetters={"job": "inventory-service"})
async def a_message_can_not_be_read(scene: Scene) -> AsyncIterator[None]:
    await scene.bus.send(b"not JSON", routing_key="inventory-service", exchange="")

    async def set_aside() -> bool:
        return (await scene.bus.state("inventory-service.dlq"))[0] == 1

    await eventually(set_aside)
    await scene.development("inventory-service", "disconnect")  # it counts when it connects, else once a minute
    yield
    assert "not-json" in (await scene.operations("dead-letters"))[1]
    assert (await scene.operations("dead-letters", "drop", "inventory-service", "--all"))[0] == 0
    await scene.development("inventory-service", "disconnect")


@fires(HandlerErrors={"job": "inventory-service"})
async def a_service_fails_on_every_order(scene: Scene) -> AsyncIterator[None]:
    await scene.sql("ALTER TABLE inventory.reservations ADD CONSTRAINT nothing CHECK (false) NOT VALID")

    async def order_again_and_again() -> None:
        while True:
            await scene.orders(1)
            await asyncio.sleep(1)

    shopping = asyncio.create_task(order_again_and_again())
    yield
    shopping.cancel()
    assert "event set aside" in [line["event"] for line in scene.system.services["inventory-service"].lines()]
    await scene.sql("ALTER TABLE inventory.reservations DROP CONSTRAINT nothing")


@fires(NotConsuming={"job": "order-service"}, OutboxStuck={"job": "order-service"})
async def the_broker_is_away(scene: Scene) -> AsyncIterator[None]:
    await scene.broker.take_away()
    orders = await scene.orders(3)
    yield
    scene.broker.restore()
    for order in orders:
        await scene.shop.ended(order, within_seconds=60)


@fires(ServiceDown={"job": "payment-service"})
async def a_service_is_killed(scene: Scene) -> AsyncIterator[None]:
    await scene.system.kill("payment-service")
    yield
    scene.system.start("payment-service")
    await scene.system.healthy()


@fires(
    RequestsFail={"job": "order-service"},
    ErrorBudgetBurnsFast={"slo": "orders-taken"},
    ErrorBudgetBurns={"slo": "orders-taken"},
)
async def the_database_is_away(scene: Scene) -> AsyncIterator[None]:
    await scene.database.take_away()

    async def try_again_and_again() -> None:
        while True:
            assert (await scene.shop.ask(Line(scene.product))).status_code == 503
            await asyncio.sleep(0.1)

    trying = asyncio.create_task(try_again_and_again())
    yield
    slo = {"slo": "orders-taken"}
    told = [await scene.watch.firing(f"ErrorBudgetBurns{fast}", slo, inhibited=False) for fast in ("Fast", "")]
    trying.cancel()
    scene.database.restore()
    await scene.system.healthy()
    assert told == [True, False]  # nobody needs to hear both


@fires(GatewayFails={"kind": "charge"}, GatewayLeftAlone={"job": "payment-service"})
async def the_gateway_is_silent(scene: Scene) -> AsyncIterator[None]:
    await scene.development("payment-service", "gateway", answers="silent")
    orders = await scene.orders(30)
    yield
    await scene.development("payment-service", "gateway", answers="normal")
    for order in orders:
        await scene.shop.ended(order, within_seconds=120)


@fires(QueueGrows={"queue": "notification-service"})
async def a_service_does_not_keep_up(scene: Scene) -> AsyncIterator[None]:
    await scene.system.stop("notification-service")
    event = read_by("notification-service")
    for _ in range(1_100):
        await scene.bus.send_events([event], routing_key="notification-service", exchange="")
    yield
    scene.system.start("notification-service")
    await scene.system.healthy()


@fires(BrokerBlocksPublishers={})
async def the_broker_lacks_memory(scene: Scene) -> AsyncIterator[None]:
    give_memory("1MB")
    yield
    give_memory("1GB")


@fires(ConnectionsRunOut={})
async def somebody_takes_the_connections(scene: Scene) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        url = scene.system.database_url.replace("+asyncpg", "")
        connection = await asyncpg.connect(url)
        stack.push_async_callback(connection.close)
        at_most = int(await connection.fetchval("SELECT current_setting('max_connections')"))
        for _ in range(at_most * 4 // 5):
            stack.push_async_callback((await asyncpg.connect(url)).close)
        yield


def give_memory(limit: str) -> None:
    if not _RABBITMQCTL.exists():
        pytest.skip("RabbitMQ's own tools aren't here, or not where Debian has them")
    environment = os.environ | {
        "HOME": str(ROOT / ".run" / os.environ["ORDER_PROCESSING_PROFILE"] / "rabbitmq"),
        "ERL_EPMD_PORT": str(servers_ports()["epmd"]),
        "RABBITMQ_NODENAME": "order_processing@localhost",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
    }
    command = [str(_RABBITMQCTL), "set_vm_memory_high_watermark", "absolute", limit]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
async def scene(
    bare_system: System, client: httpx.AsyncClient, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    assert bare_system.broker is not None
    assert bare_system.database is not None
    async with (
        watched(bare_system, tmp_path_factory.mktemp("watch")) as watch,
        bus(bare_system.rabbitmq_url) as channel,
    ):
        shop = Shop(bare_system, client)
        product = await shop.stock(10_000)
        yield Scene(bare_system, watch, shop, product, channel, bare_system.broker, bare_system.database, client)


def test_every_alert_has_a_drill() -> None:
    groups = [group for name in RULES for group in yaml.safe_load((OBSERVABILITY / name).read_text())["groups"]]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert alerts == {alert for _, fired in DRILLS.values() for alert in fired}


@pytest.mark.parametrize("fault", DRILLS)
async def test_an_alert_is_fired_by_its_fault_and_ended_by_its_runbook(scene: Scene, fault: str) -> None:
    make, alerts = DRILLS[fault]

    async def are(expected: bool) -> list[str]:
        """Those that are otherwise in the end."""
        waiting = dict(alerts)

        async def all_are() -> bool:
            for alert, labels in alerts.items():
                if await scene.watch.firing(alert, labels) is expected:
                    waiting.pop(alert, None)
            return not waiting

        with suppress(TimeoutError):
            await eventually(all_are, seconds=_WITHIN_SECONDS)
        return list(waiting)

    assert await are(False) == []
    async with make(scene):
        silent = await are(True)
    assert silent == []
    assert await are(False) == []
