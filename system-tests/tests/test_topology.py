"""The map of exchanges and queues: what the services assert, what deploy/rabbitmq/definitions.json says, and what the
code publishes and reads are the same."""

import json
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from chassis.messaging.topology import DEAD_LETTER_EXCHANGE, EXCHANGE

from bus import Management
from operations.addresses import SERVICES
from system import DEFINITIONS, ROOT, System, management_url

TAP = "order_events.tap"
_WIRE_NAMES = """
import json
from infrastructure.messages import CONSUMED, PUBLISHED
print(json.dumps([{c.name: key for c, key in PUBLISHED.items()}, {w.type: w.routing_key for w in CONSUMED}]))
"""


@pytest.fixture(scope="module")
def definitions() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(DEFINITIONS.read_text())
    return found


@pytest.fixture(scope="module")
def published_and_read() -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """For each service the routing keys of the events it publishes and of those it reads, as its code names them. The
    services' packages have the same names, so each is asked in a process of its own."""
    found = {}
    for service in SERVICES:
        own = ROOT / service / ".venv" / "bin" / "python"
        python = str(own) if own.exists() else sys.executable
        printed = subprocess.check_output([python, "-c", _WIRE_NAMES], cwd=ROOT / service, text=True)
        published, read = json.loads(printed)
        found[service] = published, read
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


def test_every_event_that_is_read_is_published_by_one_service_under_that_key(
    published_and_read: dict[str, tuple[dict[str, str], dict[str, str]]],
) -> None:
    publishers = [item for published, _ in published_and_read.values() for item in published.items()]
    assert len(publishers) == len(dict(publishers)) == 11

    for service, (_, read) in published_and_read.items():
        assert read.items() <= dict(publishers).items(), f"{service} reads what nobody publishes so"


def test_every_event_that_is_published_has_a_reader_and_a_queue(
    published_and_read: dict[str, tuple[dict[str, str], dict[str, str]]], definitions: dict[str, list[dict[str, Any]]]
) -> None:
    bound = {(b["destination"], b["routing_key"]) for b in definitions["bindings"] if b["source"] == EXCHANGE}
    read = {(service, key) for service, (_, keys) in published_and_read.items() for key in keys.values()}
    assert bound - {(TAP, "#")} == read

    for service, (published, _) in published_and_read.items():
        for name, key in published.items():
            assert key in {key for _, key in read}, f"nobody reads {name} of {service}"


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


def test_every_event_has_its_contract_with_its_producer(
    published_and_read: dict[str, tuple[dict[str, str], dict[str, str]]],
) -> None:
    for service, (published, _) in published_and_read.items():
        files = {path.name for path in (ROOT / service / "contracts").glob("*.json")}
        assert files == {f"{name}.{kind}.json" for name in published for kind in ("schema", "example")}
