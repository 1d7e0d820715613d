"""What an event is, and what an order waits for."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from chassis.ports.events import publisher as publisher_by_name
from chassis.ports.events import routing_key

from application.events import INVENTORY, LANES, ORDER, PAYMENT, READERS, kind, publisher, read, status, waits_for
from tests.seen import document

ROOT = Path(__file__).resolve().parents[3]
WAY = ("OrderCreated", "InventoryReserved", "OrderConfirmed", "PaymentProcessed", "OrderCompleted")


def test_the_page_knows_every_event_and_who_reads_it_as_the_broker_has_it() -> None:
    definitions = json.loads((ROOT / "deploy" / "rabbitmq" / "definitions.json").read_text())
    bound = {
        (binding["routing_key"], binding["destination"])
        for binding in definitions["bindings"]
        if binding["source"] == "order_events" and binding["destination"] in LANES
    }
    assert bound == {(routing_key(name), lane) for name, lanes in READERS.items() for lane in lanes}
    assert [publisher(name) for name in READERS] == [publisher_by_name(name) for name in READERS]


@pytest.mark.parametrize("path", sorted(ROOT.glob("*-service/contracts/*.example.json")), ids=lambda path: path.stem)
def test_the_services_own_examples_are_read(path: Path) -> None:
    example = json.loads(path.read_text())
    event = read(example | {"unknown": 1})
    assert event is not None
    assert (event.name, event.order_id, event.customer_id) == (
        example["type"],
        example["subject"],
        example["data"]["customer_id"],
    )
    assert event.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert event.reason == example["data"].get("reason")
    assert event.amount == example["data"].get("total_amount")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "event",
        7,
        {},
        document("OrderCreated") | {"type": "Surprise"},
        document("OrderCreated") | {"type": 7},
        document("OrderCreated") | {"subject": None},
        document("OrderCreated") | {"id": 1},
        document("OrderCreated") | {"time": "noon"},
        document("OrderCreated") | {"data": []},
    ],
)
def test_what_is_no_event_of_the_saga_is_passed_over(wrong: Any) -> None:
    assert read(wrong) is None


def test_what_an_event_says_is_bounded() -> None:
    event = read(document("OrderFailed", reason="x" * 1000, total_amount="much") | {"source": "s" * 1000})
    assert event is not None
    assert (len(event.reason or ""), len(event.source), event.amount) == (100, 60, None)


@pytest.mark.parametrize(
    ("names", "lane", "now"),
    [
        (WAY[:1], INVENTORY, "pending"),
        (WAY[:2], PAYMENT, "pending"),
        (WAY[:3], PAYMENT, "confirmed"),
        (WAY[:4], ORDER, "confirmed"),
        (WAY, "", "completed"),
        (("OrderCreated", "InventoryUnavailable"), ORDER, "pending"),
        (("OrderCreated", "InventoryUnavailable", "OrderFailed"), "", "failed"),
        ((*WAY[:3], "PaymentFailed"), ORDER, "confirmed"),
        ((*WAY[:3], "PaymentFailed", "OrderFailed"), INVENTORY, "failed"),
        ((*WAY[:3], "PaymentFailed", "OrderFailed", "InventoryReleased"), "", "failed"),
        ((*WAY[:4], "OrderCancelled", "InventoryReleased"), PAYMENT, "cancelled"),
        ((*WAY[:4], "OrderCancelled", "PaymentRefunded"), INVENTORY, "cancelled"),
        ((*WAY[:4], "OrderCancelled", "PaymentRefunded", "InventoryReleased"), "", "cancelled"),
        (("OrderCreated", "OrderCancelled"), "", "cancelled"),
    ],
)
def test_whose_turn_it_is_does_not_depend_on_the_order_of_the_events(
    names: tuple[str, ...], lane: str, now: str
) -> None:
    for mixed in [*permutations(names)][:50]:
        assert (waits_for(mixed), status(mixed)) == (lane, now)


def test_each_event_is_drawn_as_what_it_means() -> None:
    kinds = {wanted: {name for name in READERS if kind(name) == wanted} for wanted in ("step", "failure", "undoing")}
    assert kinds["undoing"] == {"InventoryReleased", "PaymentRefunded"}
    assert kinds["failure"] == {"InventoryUnavailable", "PaymentFailed", "OrderFailed"}
    assert {name for name in READERS if kind(name) == "end"} == {"OrderCompleted", "OrderCancelled"}
