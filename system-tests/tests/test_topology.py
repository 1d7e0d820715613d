"""The map of exchanges and queues: what the services assert, what deploy/rabbitmq/definitions.json says, and what the
code publishes and reads are the same."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any

import httpx
import pytest
from aio_pika import ExchangeType
from chassis.messaging.topology import DEAD_LETTER_EXCHANGE, EXCHANGE
from chassis.ports.events import routing_key
from chassis.testing import eventually, make_vhost

from bus import Bus, Management, bus
from operations.addresses import SERVICES
from system import DEFINITIONS, ROOT, System, management_url
from way import development_only

TAP = "order_events.tap"


@pytest.fixture(scope="module")
def definitions() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(DEFINITIONS.read_text())
    return found


@pytest.fixture(scope="module")
def declared() -> dict[str, dict[str, Any]]:
    """What each service publishes and reads, as its code says. The services' packages have the same names, so each is
    asked in a process of its own."""
    found = {}
    for service in SERVICES:
        own = ROOT / service / ".venv" / "bin" / "python"
        command = [str(own) if own.exists() else sys.executable, "-m", "chassis.testing.declared", "--check"]
        found[service] = json.loads(subprocess.check_output(command, cwd=ROOT / service, text=True))
    return found


def _comparable(kind: str, entries: Iterable[dict[str, Any]]) -> list[str]:
    fields = {
        "exchanges": ("name", "type", "durable", "auto_delete", "internal", "arguments"),
        "queues": ("name", "durable", "auto_delete", "arguments"),
        "bindings": ("source", "destination", "destination_type", "routing_key", "arguments"),
    }[kind]
    return sorted(
        json.dumps({field: entry[field] for field in fields}, sort_keys=True)
        for entry in entries
        if TAP not in (entry.get("name"), entry.get("destination"))
    )


@pytest.mark.parametrize("kind", ["exchanges", "queues", "bindings"])
async def test_the_services_assert_what_the_definitions_say(
    kind: str, bare_system: System, definitions: dict[str, list[dict[str, Any]]]
) -> None:
    async with httpx.AsyncClient(base_url=management_url(), timeout=30) as client:
        asserted = await Management(client, bare_system.vhost).definitions()

    assert _comparable(kind, asserted[kind]) == _comparable(kind, definitions[kind])


@pytest.fixture
async def empty_vhost(servers: None) -> AsyncIterator[tuple[Bus, str]]:
    """A vhost in which there is nothing yet, and the management API's address for it."""
    rabbitmq_url, vhost, delete = await asyncio.to_thread(make_vhost)
    async with bus(rabbitmq_url) as channel:
        yield channel, f"{management_url()}/{vhost}"
    await asyncio.to_thread(delete)


async def load(url: str) -> None:
    step, environment = DEFINITIONS.with_name("load_definitions.py"), os.environ | {"RABBITMQ_MANAGEMENT_URL": url}
    done = await asyncio.to_thread(subprocess.run, [sys.executable, str(step)], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr


@development_only("attacks/test_furnishing.py has the deploy step of production")
async def test_the_retry_queues_of_earlier_versions_go_once_they_are_empty(empty_vhost: tuple[Bus, str]) -> None:
    """What waits in them arrives: order-service's at once, the other in so long a time that somebody takes it away."""
    channel, url = empty_vhost
    await load(url)
    for name, ttl in (("order_events.retry.1s", 1), ("order_events.retry.30s", 10**8)):
        exchange = await channel.channel.declare_exchange(name, ExchangeType.FANOUT, durable=True)
        arguments: dict[str, Any] = {
            "x-queue-type": "quorum",
            "x-message-ttl": ttl,
            "x-dead-letter-exchange": "",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        await (await channel.channel.declare_queue(name, durable=True, arguments=arguments)).bind(exchange)
    await channel.send(b"waiting", routing_key="order-service", exchange="order_events.retry.1s")
    await channel.send(b"waiting", routing_key="order-service", exchange="order_events.retry.30s")

    async def left() -> list[str]:
        await load(url)
        return [name for name in ("order_events.retry.1s", "order_events.retry.30s") if await exists(channel, name)]

    await eventually(lambda: equals(left(), ["order_events.retry.30s"]), seconds=60)
    assert await channel.state("order-service") == (1, 0)
    await (await channel.channel.get_queue("order_events.retry.30s", ensure=False)).purge()
    await eventually(lambda: equals(left(), []), seconds=60)


async def exists(channel: Bus, queue: str) -> bool:
    return await channel.state(queue, absent=(-1, 0)) != (-1, 0)


async def equals(value: Awaitable[Any], expected: object) -> bool:
    return bool(await value == expected)


def test_every_event_that_is_read_is_published_by_one_service(declared: dict[str, dict[str, Any]]) -> None:
    published = [event["name"] for service in declared.values() for event in service["published"]]
    assert len(published) == len(set(published))

    for name, service in declared.items():
        assert set(service["consumed"]) <= set(published), f"{name} reads what nobody publishes"


def test_every_event_that_is_published_has_a_reader_and_a_queue(
    declared: dict[str, dict[str, Any]], definitions: dict[str, list[dict[str, Any]]]
) -> None:
    bound = {(b["destination"], b["routing_key"]) for b in definitions["bindings"] if b["source"] == EXCHANGE}
    read = {(name, routing_key(event)) for name, service in declared.items() for event in service["consumed"]}
    assert bound - {(TAP, "#")} == read

    for name, service in declared.items():
        for event in service["published"]:
            assert event["routing_key"] in {key for _, key in read}, f"nobody reads {event['name']} of {name}"


@pytest.mark.parametrize("service", SERVICES)
def test_every_services_queue_has_a_dead_letter_queue(
    service: str, definitions: dict[str, list[dict[str, Any]]]
) -> None:
    queues = {queue["name"]: queue["arguments"] for queue in definitions["queues"]}
    target = (DEAD_LETTER_EXCHANGE, f"{service}.dlq", service)

    assert queues[service]["x-dead-letter-exchange"] == DEAD_LETTER_EXCHANGE
    assert queues[service]["x-dead-letter-routing-key"] == service
    assert target in {(b["source"], b["destination"], b["routing_key"]) for b in definitions["bindings"]}
    assert queues[service]["x-queue-type"] == queues[f"{service}.dlq"]["x-queue-type"] == "quorum"


def test_every_event_has_its_contract_with_its_producer(declared: dict[str, dict[str, Any]]) -> None:
    for name, service in declared.items():
        files = {path.name for path in (ROOT / name / "contracts").glob("*.json")}
        events = [event["name"] for event in service["published"]]
        assert files == {f"{event}.{kind}.json" for event in events for kind in ("schema", "example")}


def test_whatever_follows_from_the_declared_events_is_as_it_is_declared() -> None:
    command = [sys.executable, str(ROOT / "deploy" / "local" / "run.py"), "contracts", "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "All is as it is declared.\n")
