"""`make events` on a real broker, as a process of its own."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from chassis.messaging.envelope import BATCH, SINGLE
from chassis.messaging.topology import EXCHANGE, Queue, assert_topology
from chassis.ports.events import routing_key
from chassis.testing import eventually, make_vhost

from operations.addresses import ROOT, SERVICES
from operations.following import EVENTS

READERS: dict[str, list[str]] = json.loads((ROOT / "operations" / "operations" / "events.json").read_text())


def document(name: str, **changes: Any) -> dict[str, Any]:
    example = next(ROOT.glob(f"*-service/contracts/{name}.example.json"))
    loaded: dict[str, Any] = json.loads(example.read_text())
    return loaded | changes


class Bus:
    """A vhost of the test's own."""

    def __init__(self, url: str, channel: AbstractChannel) -> None:
        self.url, self._channel = url, channel

    async def services_start(self, *services: str) -> None:
        for service in services:
            await assert_topology(self._channel, Queue(service, [name for name in EVENTS if service in READERS[name]]))

    async def say(self, *documents: dict[str, Any]) -> None:
        """Raises PublishError if no queue takes it."""
        body, kind = (documents[0], SINGLE) if len(documents) == 1 else (documents, BATCH)
        exchange = await self._channel.get_exchange(EXCHANGE, ensure=False)
        message = aio_pika.Message(json.dumps(body).encode(), content_type=kind)
        await exchange.publish(message, routing_key(documents[0]["type"]), mandatory=True)

    async def loses(self, queue: str) -> None:
        await self._channel.queue_delete(queue)


@pytest.fixture
async def bus(rabbitmq_url: str) -> AsyncIterator[Bus]:
    url, _, remove = await asyncio.to_thread(make_vhost)
    try:
        async with await aio_pika.connect(url) as connection:
            yield Bus(url, await connection.channel(on_return_raises=True))
    finally:
        await asyncio.to_thread(remove)


class Following:
    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.said = ""

    async def read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode().rstrip("\n"))

    async def listen(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.said += line.decode()


@asynccontextmanager
async def following(url: str, *options: str) -> AsyncIterator[Following]:
    """`events`, whose streams are read as they come."""
    command = [sys.executable, "-m", "operations", "events", *options]
    environment = os.environ | {"RABBITMQ_URL": url}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
    found = Following(process)
    reading = [asyncio.create_task(found.read()), asyncio.create_task(found.listen())]
    try:
        yield found
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 30)
        await asyncio.gather(*reading)


async def test_each_event_is_a_line_with_its_order_and_figures(bus: Bus) -> None:
    await bus.services_start(*SERVICES)
    created, failed = document("OrderCreated"), document("OrderFailed")
    async with following(bus.url) as shown:
        await eventually(lambda: "Ctrl+C" in shown.said)
        await bus.say(created)
        await bus.say(failed, failed | {"repeat": True})
        await eventually(lambda: len(shown.lines) == 3)
    assert shown.process.returncode == 0
    assert "Traceback" not in shown.said
    first, second, third = shown.lines
    assert first.split()[1:4] == ["order", "OrderCreated", created["subject"]]
    assert "items=2" in first
    assert "total_amount=45.48" in first
    assert (f"reason={failed['data']['reason']}" in second, "again" in second, "again" in third) == (True, False, True)


async def test_those_of_one_order_are_picked_out_as_whole_documents(bus: Bus) -> None:
    await bus.services_start(*SERVICES)
    ours = document("OrderCreated", subject="0198c5f0-aaaa-7cc3-a1b4-2f6d1c9be001")
    async with following(bus.url, "--json", "--order", "0198c5f0-aaaa") as shown:
        await eventually(lambda: "Ctrl+C" in shown.said)
        await bus.say(ours, document("OrderCreated"), ours)
        await eventually(lambda: len(shown.lines) == 2)
    assert [json.loads(line) for line in shown.lines] == [ours, ours]


@pytest.mark.parametrize("missing", SERVICES)
async def test_no_event_becomes_routable_that_nobody_reads(bus: Bus, missing: str) -> None:
    await bus.services_start(*(service for service in SERVICES if service != missing))
    async with following(bus.url) as shown:
        assert await asyncio.wait_for(shown.process.wait(), 30) == 1
    assert f"no queue '{missing}" in shown.said
    assert "start the services first" in shown.said


async def test_it_ends_when_a_services_queue_vanishes(bus: Bus) -> None:
    await bus.services_start(*SERVICES)
    async with following(bus.url) as shown:
        await eventually(lambda: "Ctrl+C" in shown.said)
        await bus.loses("inventory-service")
        assert await asyncio.wait_for(shown.process.wait(), 30) == 1


async def test_a_reader_that_goes_ends_it_without_complaint(bus: Bus, tmp_path: Path) -> None:
    await bus.services_start(*SERVICES)
    script = f"{sys.executable} -m operations events 2>{tmp_path / 'said'} | head -n 1"
    process = await asyncio.create_subprocess_shell(script, env=os.environ | {"RABBITMQ_URL": bus.url}, stdout=PIPE)
    said = tmp_path / "said"
    await eventually(lambda: said.exists() and "Ctrl+C" in said.read_text())

    async def goes_on_saying() -> None:
        while True:
            await bus.say(document("OrderCreated"))
            await asyncio.sleep(0.05)

    saying = asyncio.create_task(goes_on_saying())
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        saying.cancel()
    assert len(output.splitlines()) == 1
    assert "Traceback" not in said.read_text()
