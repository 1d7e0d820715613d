"""The deploy step that furnishes the broker for production, and the services on such a broker."""

from pathlib import Path

import aio_pika
import httpx
import pytest
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity
from chassis.messaging.topology import DEAD_LETTER_EXCHANGE, EXCHANGE, Queue, assert_topology
from chassis.testing import eventually

from attacks.production import INVENTORY, NOTIFICATION, ORDER, Guarded, event, guarded, publish
from operations.addresses import SERVICES
from operations.shop import Line
from shop import Shop
from system import ROOT, fresh_system


async def test_whatever_the_broker_loses_comes_back(bus: Guarded) -> None:
    async with bus.watched(), httpx.AsyncClient(base_url=bus.management, timeout=30) as client:
        for path in (
            f"/api/queues/{bus.vhost}/{ORDER}.retry.30s",
            f"/api/exchanges/{bus.vhost}/{ORDER}.aside",
            f"/api/bindings/{bus.vhost}/e/{EXCHANGE}/q/{ORDER}/payment.processed",
            f"/api/users/{NOTIFICATION}",
            f"/api/permissions/{bus.vhost}/{ORDER}",
            f"/api/topic-permissions/{bus.vhost}/{ORDER}",
        ):
            (await client.delete(path)).raise_for_status()

            async def is_back(path: str = path) -> bool:
                answer = await client.get(path)
                return answer.status_code == 200 and answer.json() != []

            await eventually(is_back, seconds=60)


async def lose_everything(bus: Guarded, client: httpx.AsyncClient) -> None:
    for name in SERVICES:
        for queue in Queue(name, ()).queues:
            await client.delete(f"/api/queues/{bus.vhost}/{queue}")
        await client.delete(f"/api/exchanges/{bus.vhost}/{name}.aside")
        await client.delete(f"/api/users/{name}")
    for exchange in (EXCHANGE, DEAD_LETTER_EXCHANGE):
        await client.delete(f"/api/exchanges/{bus.vhost}/{exchange}")


async def test_orders_go_through_on_a_guarded_broker_and_again_after_it_lost_everything(
    bus: Guarded, database_url: str, tmp_path: Path
) -> None:
    """The services declare nothing: they wait until the step has furnished the broker anew."""
    async with (
        fresh_system(
            tmp_path,
            started=False,
            with_definitions=False,
            PYTHONPATH=str(ROOT / "system-tests"),
            PAYMENT_SUCCESS_RATE="1",
        ) as system,
        httpx.AsyncClient(timeout=30) as client,
        httpx.AsyncClient(base_url=bus.management, timeout=30) as management,
    ):
        for name, service in system.services.items():
            service.app = "attacks.verified:app"
            service.environment["RABBITMQ_URL"] = bus.url(name)
        system.start()
        await system.healthy()
        shop = Shop(system, client)
        product = await shop.stock(10)

        async def orders_complete() -> None:
            orders = [await shop.place(Line(product)) for _ in range(5)]
            assert {(await shop.ended(order["id"]))["status"] for order in orders} == {"completed"}

        await orders_complete()
        async with bus.watched():
            await lose_everything(bus, management)
            await orders_complete()
        for name in SERVICES:
            assert await shop.metric(name, "dead_letters") == 0


async def test_a_password_is_changed_while_the_service_is_connected(bus: Guarded) -> None:
    old = (bus.folder / ORDER).read_text().strip()
    async with bus.watched(), bus.channel(ORDER) as connected:
        bus.set_password(ORDER)

        async def accepted() -> bool:
            try:
                async with bus.channel(ORDER):
                    return True
            except (OSError, AMQPError):
                return False

        await eventually(accepted, seconds=60)
        await assert_topology(connected, Queue(ORDER, ()), passive=True)
    with pytest.raises((OSError, AMQPError)):
        await aio_pika.connect(bus.url(ORDER, old))


async def test_a_broker_of_development_must_be_empty_and_loses_its_tap(rabbitmq_url: str, tmp_path: Path) -> None:
    async with guarded(tmp_path) as broker:
        assert (await broker.load(environment="development")).returncode == 0
        async with await aio_pika.connect(broker.administrator) as connection:
            channel = await connection.channel()
            await publish(channel, event("OrderCreated"), "order.created")

            async def refused() -> bool:
                done = await broker.load()
                assert "inventory-service (1)" in done.stderr or not done.returncode
                return bool(done.returncode)

            async with httpx.AsyncClient(base_url=broker.management, timeout=30) as client:

                async def counted() -> bool:
                    queue = (await client.get(f"/api/queues/{broker.vhost}/{INVENTORY}")).json()
                    return bool(queue.get("messages") == 1)

                await eventually(counted, seconds=30)
            assert await refused()
            await channel.get_queue("order_events.tap", ensure=True)
            await (await channel.get_queue(INVENTORY, ensure=False)).purge()

            async def taken() -> bool:
                return not await refused()

            await eventually(taken, seconds=60)
            with pytest.raises(ChannelNotFoundEntity):
                await channel.get_queue("order_events.tap", ensure=True)


async def test_a_secret_that_is_missing_is_named(bus: Guarded) -> None:
    (bus.folder / INVENTORY).rename(bus.folder / "gone")
    try:
        done = await bus.load()
    finally:
        (bus.folder / "gone").rename(bus.folder / INVENTORY)
    assert done.returncode == 1
    assert done.stderr.startswith("INVENTORY_SERVICE_RABBITMQ_PASSWORD_FILE names a file that can't be read: ")


@pytest.mark.parametrize("password", ["guest", "admin", "stockkeeper"])
async def test_a_broker_with_a_password_that_everybody_knows_is_refused(bus: Guarded, password: str) -> None:
    """By the step itself, by whom it is known before any service starts; as long as the user may do anything here."""
    user, permission = "/api/users/stockkeeper", f"/api/permissions/{bus.vhost}/stockkeeper"
    async with httpx.AsyncClient(base_url=bus.management, timeout=30) as client:
        try:
            (await client.put(user, json={"password": password, "tags": ""})).raise_for_status()
            nothing = {"configure": "^$", "write": "^$", "read": "^$"}
            assert (await bus.load()).returncode == 0
            (await client.put(permission, json=nothing)).raise_for_status()
            done = await bus.load()
            assert done.returncode == 1
            assert done.stderr.startswith("Everybody knows the password of RabbitMQ's user stockkeeper: ")
            (await client.put(user, json={"password": "uncommon", "tags": ""})).raise_for_status()
            assert (await bus.load()).returncode == 0
        finally:
            await client.delete(user)


async def test_the_step_says_whether_the_broker_has_it_all(bus: Guarded) -> None:
    """Compose waits for it before it starts services. Nothing is changed."""
    assert (await bus.load("--check")).returncode == 0
    async with httpx.AsyncClient(base_url=bus.management, timeout=30) as client:
        (await client.delete(f"/api/queues/{bus.vhost}/{NOTIFICATION}")).raise_for_status()
    assert [(await bus.load("--check")).returncode for _ in range(2)] == [1, 1]
    assert (await bus.load()).returncode == 0
    assert (await bus.load("--check")).returncode == 0
