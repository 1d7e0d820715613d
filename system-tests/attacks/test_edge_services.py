"""The edge while certificates are renewed and replicas die: nobody who may repeat a request sees an error."""

import asyncio
import contextlib
import signal
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from chassis.testing import eventually

from attacks.edge import Edge, make_certificates, memory, running_edge
from attacks.house import open_house
from attacks.replica import Replica
from operations.addresses import SERVICES
from operations.load import all_final, settled_books
from operations.shop import Shop
from system import Service, System, all_healthy, fresh_system

CLIENTS = 16
ORDER = "order-service"
MOST_MEGABYTES = 120
"""Of a service that is sent headers without end; it begins with about 80."""


async def test_a_certificate_is_renewed_without_a_request_lost(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:

        async def serial() -> str:
            _, writer = await house.connect()
            number: str = writer.get_extra_info("peercert")["serialNumber"]
            writer.transport.abort()
            return number

        statuses: Counter[int] = Counter()
        going = True

        async def ask() -> None:
            async with house.edge.client() as client:
                while going:
                    statuses[(await client.get("/orders")).status_code] += 1
                    statuses[(await client.post("/orders", json={})).status_code] += 1

        asking = [asyncio.create_task(ask()) for _ in range(CLIENTS)]
        for _ in range(3):
            before = await serial()
            make_certificates(tmp_path, "edge,localhost,127.0.0.1")
            house.edge.reload()

            async def is_new(old: str = before) -> bool:
                return await serial() != old

            await eventually(is_new, seconds=30)
            seen = statuses.total()

            async def went_on(before: int = seen) -> bool:
                return statuses.total() > before + 200

            await eventually(went_on, seconds=30)
        before = await serial()
        (tmp_path / "edge.key").write_text("no key")
        house.edge.reload()
        await eventually(lambda: "edge.key" in house.edge.log.read_text(), seconds=30)
        assert await serial() == before, "the old certificate goes on"
        going = False
        await asyncio.gather(*asking)
        assert set(statuses) == {200}


async def test_edge_and_services_prove_to_each_other_who_they_are(tmp_path: Path) -> None:
    make_certificates(tmp_path, "edge,localhost,127.0.0.1", *SERVICES, "stranger")

    def served(certificate: str) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(tmp_path / f"{certificate}.crt", tmp_path / f"{certificate}.key")
        return context

    async with AsyncExitStack() as stack:
        right = await stack.enter_async_context(Replica("right", served(ORDER)))
        wrong = await stack.enter_async_context(Replica("wrong", served("stranger")))
        settings = {"EDGE_SERVICES_CA": "ca.crt", "EDGE_CLIENT_CERTIFICATE": "edge.crt"}
        paths = {name: str(tmp_path / file) for name, file in settings.items()}
        edge = await stack.enter_async_context(running_edge(tmp_path, {ORDER: [right.port, wrong.port]}, **paths))

        async def only_the_right_one() -> bool:
            return await edge.up(ORDER) == {"1"}

        await eventually(only_the_right_one, seconds=20)
        async with edge.client() as client:
            assert (await client.get("/orders")).headers["x-replica"] == "right"
        async with httpx.AsyncClient(verify=edge.tls()) as client:
            with pytest.raises(httpx.TransportError):  # who shows no certificate is not let in
                await client.get(f"https://localhost:{right.port}/orders")


class Pair:
    """The real services behind the edge, the order service twice."""

    def __init__(self, system: System, other: Service, edge: Edge) -> None:
        self.system = system
        self.edge = edge
        self.replicas = [system.services[ORDER], other]


@pytest.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory, database_url: str, rabbitmq_url: str) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("edge")
    async with fresh_system(folder, PAYMENT_SUCCESS_RATE="1") as system:
        other = Service(ORDER, folder / "other.log", system.services[ORDER].environment)
        other.start()
        await all_healthy([other])
        ports = {name: [service.port] for name, service in system.services.items()}
        ports[ORDER].append(other.port)
        try:
            async with running_edge(folder, ports) as edge:
                yield Pair(system, other, edge)
        finally:
            await other.end(signal.SIGKILL)


@pytest.fixture
async def both(pair: Pair) -> Pair:
    """Both replicas run and get requests."""
    for replica in pair.replicas:
        if not replica.running:
            replica.start()

    async def up() -> bool:
        return await pair.edge.up(ORDER) == {"1", "2"}

    await eventually(up, seconds=45)
    return pair


async def test_a_service_that_is_reached_past_the_edge_bounds_headers_too(both: Pair) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", both.replicas[0].port)
    writer.write(b"GET /orders HTTP/1.1\r\nHost: localhost\r\nX-Endless: ")
    with contextlib.suppress(ConnectionError):
        for _ in range(320):
            writer.write(b"a" * 65_536)
            await writer.drain()
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.transport.abort()
    assert memory(both.replicas[0].pid) < MOST_MEGABYTES


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_replica_that_ends_costs_no_order_and_no_error_to_who_may_repeat(
    both: Pair, number: signal.Signals
) -> None:
    urls = dict.fromkeys(SERVICES, both.edge.url)
    customer = uuid4()
    keys, accepted, statuses = [str(uuid4()) for _ in range(400)], {}, Counter[str]()
    unkeyed = 0
    async with both.edge.client(limits=httpx.Limits(max_connections=CLIENTS)) as client:
        product = await Shop(urls, client).stock(10_000)
        body = {"customer_id": str(customer), "items": [{"product_id": str(product), "quantity": 1, "price": 10}]}

        async def place(waiting: list[str]) -> None:
            nonlocal unkeyed
            while waiting:
                key = waiting.pop()
                answer = await client.post("/orders", json=body, headers={"Idempotency-Key": key})
                statuses[f"keyed {answer.status_code}"] += 1
                accepted[key] = answer.json().get("id")
                got = await client.get(f"/orders/{accepted[key]}")
                statuses[f"read {got.status_code}"] += 1
                plain = await client.post("/orders", json=body)
                unkeyed += 1
                statuses[f"plain {plain.status_code}"] += 1
                if plain.status_code == 201:
                    accepted[plain.json()["id"]] = plain.json()["id"]

        waiting = list(keys)
        placing = [asyncio.create_task(place(waiting)) for _ in range(CLIENTS)]
        await eventually(lambda: len(waiting) < 300, seconds=60)
        await both.replicas[0].end(number)
        await asyncio.gather(*placing)
    print(statuses)
    assert {name: count for name, count in statuses.items() if "plain" not in name} == {
        "keyed 201": 400,
        "read 200": 400,
    }
    assert set(statuses) <= {"keyed 201", "read 200", "plain 201", "plain 502", "plain 503"}
    connection = await asyncpg.connect(both.system.database_url.replace("+asyncpg", ""))
    try:
        assert await all_final(connection, list(accepted.values()), within_seconds=60)
        placed = await connection.fetchval("SELECT count(*) FROM orders.orders WHERE customer_id = $1", customer)
    finally:
        await connection.close()
    assert await settled_books(both.system.database_url, {product: 10_000}, within_seconds=30) == []
    assert len(set(accepted.values())) == len(accepted) <= placed <= len(keys) + unkeyed
