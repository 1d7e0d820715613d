"""Too much of everything, from some addresses: refused there, and nobody else notices."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from chassis.testing import eventually

from attacks.edge import memory
from attacks.house import House, open_house
from attacks.test_edge import problem
from operations.lean_http import Connection

MOST_MEGABYTES = 120
"""Of the edge, whatever it is sent; it begins with about 30."""
SOMEBODY_ELSE = "127.0.0.9"
REQUEST = b"GET /orders HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[House]:
    """The edge with small limits, which one address is exempt from."""
    limits = {"CONNECTIONS": "20", "NEW_CONNECTIONS": "60", "REQUESTS": "40"}
    settings = {f"EDGE_{name}_PER_ADDRESS": value for name, value in limits.items()}
    async with open_house(tmp_path, EDGE_TRUSTED_ADDRESSES="127.0.0.3 10.0.0.0/8", **settings) as opened:
        yield opened


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as opened:
        yield opened


def client(house: House, address: str) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(verify=house.edge.tls(), local_address=address)
    return httpx.AsyncClient(base_url=house.edge.url.replace("localhost", "127.0.0.1"), transport=transport, timeout=30)


async def nobody_else_notices(house: House) -> None:
    async with client(house, SOMEBODY_ELSE) as other:
        assert (await other.get("/orders")).status_code == 200


def megabytes(house: House) -> int:
    """The memory of the edge's worker."""
    return memory(*subprocess.check_output(["pgrep", "-P", str(house.edge.pid)], text=True).split())


async def test_an_address_that_asks_too_much_is_told_to_wait(limited: House) -> None:
    async with client(limited, "127.0.0.2") as greedy:
        statuses = [(await greedy.get("/orders")).status_code for _ in range(60)]
        assert set(statuses) == {200, 429}
        assert statuses.index(429) == 40
        refused = await greedy.post("/orders", json={})
    assert int(refused.headers["retry-after"]) > 0
    problem(refused, 429, "too-many-requests")
    assert len(limited.seen) == 40
    await nobody_else_notices(limited)


async def test_a_trusted_address_may_ask_as_much_as_it_likes(limited: House) -> None:
    async with client(limited, "127.0.0.3") as trusted:
        assert {(await trusted.get("/orders")).status_code for _ in range(80)} == {200}


async def test_an_address_gets_so_many_connections(limited: House) -> None:
    async def opened(address: str, count: int) -> int:
        made = await asyncio.gather(*(limited.connect(address) for _ in range(count)), return_exceptions=True)
        writers = [connection[1] for connection in made if not isinstance(connection, BaseException)]
        assert all(isinstance(error, OSError) for error in made if isinstance(error, BaseException))
        if address == "127.0.0.2":
            await nobody_else_notices(limited)
        for writer in writers:
            writer.transport.abort()
        return len(writers)

    assert await opened("127.0.0.2", 50) == 20
    assert await opened("127.0.0.3", 50) == 50

    async def all_are_closed() -> bool:
        return await opened("127.0.0.2", 1) == 1

    await eventually(all_are_closed, seconds=15)


async def test_an_address_that_connects_again_and_again_is_refused(limited: House) -> None:
    refused = 0
    for _ in range(80):
        try:
            (await limited.connect("127.0.0.4"))[1].transport.abort()
        except OSError:
            refused += 1
    assert refused >= 10
    await nobody_else_notices(limited)


async def test_a_flood_of_addresses_costs_memory_for_each_and_nothing_more(limited: House) -> None:
    for block in range(10):
        addresses = [f"127.1.{block}.{number}" for number in range(1, 51)]
        answers = await asyncio.gather(*(limited.raw(REQUEST, source=address) for address in addresses))
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    await nobody_else_notices(limited)
    assert megabytes(limited) < MOST_MEGABYTES


async def test_slow_headers_are_cut_and_hold_up_nobody(house: House) -> None:
    async def until_cut() -> bytes:
        reader, writer = await house.connect("127.0.0.2")
        writing = asyncio.create_task(_drip(writer))
        try:
            async with asyncio.timeout(20):
                return await reader.read(65_536)
        finally:
            writing.cancel()
            writer.transport.abort()

    began = asyncio.gather(*(until_cut() for _ in range(200)))
    await nobody_else_notices(house)
    for answer in await began:
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    assert house.seen == [("GET", "/orders")]


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /orders HTTP/1.1\r\n")
    while not writer.is_closing():
        writer.write(b"X-Name: a\r\n")
        await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    "header",
    [
        b"X-Endless: " + b"a" * 20_000_000,
        b"".join(b"X-%d: a\r\n" % number for number in range(200_000)),
        b"".join(b"X-%d: a\r\n" % number for number in range(150)),
        b"X-Long: " + b"a" * 17_000,
    ],
    ids=["20 MB in one", "200,000 of them", "150 of them", "17,000 bytes"],
)
async def test_huge_headers_are_refused_at_once(house: House, header: bytes) -> None:
    attacks = [house.raw(b"GET /orders HTTP/1.1\r\nHost: localhost\r\n" + header, source="127.0.0.2") for _ in range(3)]
    for answer in await asyncio.gather(*attacks):
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 414 "))  # 3.x takes it for a long URI
    assert house.seen == []
    assert megabytes(house) < MOST_MEGABYTES
    await nobody_else_notices(house)


async def test_more_connections_than_the_edge_may_have_wait_outside(tmp_path: Path) -> None:
    async with open_house(tmp_path, EDGE_CONNECTIONS="100") as house:
        idle = [asyncio.create_task(house.connect(f"127.2.0.{number % 50 + 1}")) for number in range(300)]
        await asyncio.wait(idle, timeout=5)
        opened = [task.result()[1] for task in idle if task.done() and not task.exception()]
        assert len(opened) <= 101
        assert megabytes(house) < MOST_MEGABYTES
        for task in idle:
            task.cancel()
        for writer in opened:
            writer.transport.abort()

        async def has_room() -> bool:
            return (await house.raw(REQUEST)).startswith(b"HTTP/1.1 200")

        await eventually(has_room, seconds=20)


async def test_a_replica_has_so_many_requests_at_once_and_the_rest_wait_at_the_edge(house: House) -> None:
    house.second.ready = False
    await house.up("1")
    house.first.held = asyncio.Event()
    waiting = 30

    async def told_apart() -> bool:
        return f'haproxy_backend_current_queue{{proxy="order-service"}} {waiting}' in await house.edge.metrics()

    everybody = [Connection(house.edge.url, tls=house.edge.tls()) for _ in range(200 + waiting)]
    for first in range(0, len(everybody), 10):  # so that no request has to wait for a handshake later
        await asyncio.gather(*(one.request("GET", "/health") for one in everybody[first : first + 10]))
    asked = [asyncio.create_task(one.request("GET", "/orders")) for one in everybody]
    await eventually(told_apart, seconds=30)
    await eventually(lambda: len(house.first.seen) >= 200)  # the replica reads later than the edge sends
    assert len(house.first.seen) == 200
    house.first.held.set()
    assert {status for status, _ in await asyncio.gather(*asked)} == {200}
    for one in everybody:
        one.close()
