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
from chassis.ports.events import routing_key

from bus import Management
from operations.addresses import SERVICES
from system import DEFINITIONS, ROOT, System, management_url

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
