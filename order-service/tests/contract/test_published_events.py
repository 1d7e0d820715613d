"""What this service really sends fits the contracts that it gives to others, and so do their examples."""

from copy import deepcopy
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from chassis.events import Encoder
from chassis.testing import MemoryUnit, kept_examples
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships none

from application.announce import announce, announce_decision_again
from domain.order import FINAL, Order, Status
from infrastructure.messages import PUBLISHED
from tests.builders import NOON, TRACEPARENT, WAYS, an_order, line
from tests.contracts import OURS, example_of, schema_of, violations
from tests.fakes import MemoryOrderUnit

EVENTS: list[type[Any]] = list(PUBLISHED)
NAMES = sorted(event.name for event in EVENTS)
PRICES = [("19.99", 2), ("0.1", 3), ("5", 1), ("1E+2", 10_000), ("9999999.99", 1)]


def an_order_with_every_kind_of_price() -> Order:
    return an_order(*[line(price, quantity) for price, quantity in PRICES])


def sent_by(unit: MemoryUnit) -> list[dict[str, Any]]:
    encoder = Encoder("order-service", PUBLISHED)
    return [
        orjson.loads(
            encoder.encode(told.event, event_id=told.event_id, time=told.time, traceparent=told.traceparent).body
        )
        for told in unit.published
    ]


@pytest.mark.parametrize("status", list(Status))
def test_all_events_of_an_order_fit_their_schemas(status: Status) -> None:
    order = an_order_with_every_kind_of_price()
    for act in WAYS[status]:
        act(order, NOON + timedelta(seconds=1))
    unit = MemoryOrderUnit(now=NOON + timedelta(seconds=1))
    announce(order, unit)
    if status in FINAL:
        announce_decision_again(order, unit)

    sent = sent_by(unit)

    assert {event["type"] for event in sent} >= {"OrderCreated"}
    for event in sent:
        assert violations(event, event["type"]) == []
        assert event["subject"] == event["data"]["order_id"] == str(order.id)
        assert event["data"]["customer_id"] == str(order.customer_id)
        assert event["traceparent"] == TRACEPARENT
    if status in FINAL:
        assert sent[-1] == sent[-2]
        assert sent[-1]["id"] == str(order.id)


def test_money_travels_as_numbers_without_loss() -> None:
    order = an_order_with_every_kind_of_price()
    unit = MemoryOrderUnit(now=NOON)
    announce(order, unit)
    [created] = sent_by(unit)
    assert [item["price"] for item in created["data"]["items"]] == [19.99, 0.1, 5.0, 100.0, 9999999.99]
    assert created["data"]["total_amount"] == float(order.total_amount)


def test_every_event_has_its_contract_and_no_other_has_one() -> None:
    assert {path.name for path in OURS.glob("*.json")} == {
        f"{name}.{kind}.json" for name in NAMES for kind in ("schema", "example")
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_its_id_is_the_event_s_dataschema(name: str) -> None:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:order-processing:event:{name}:1" == example_of(name)["dataschema"]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_fits_its_schema_and_shows_every_field(name: str) -> None:
    example = example_of(name)
    properties = schema_of(name)["properties"]
    assert violations(example, name) == []
    assert set(example) == set(properties)
    assert set(example["data"]) == set(properties["data"]["properties"])
    assert example["subject"] == example["data"]["order_id"]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_schema_tells_of_every_field_that_is_sent(event: type[Any]) -> None:
    fields = set(event.__annotations__) - {"name"}
    assert fields == set(schema_of(event.name)["properties"]["data"]["properties"])


@pytest.mark.parametrize("name", NAMES)
def test_every_example_that_was_ever_given_is_kept_and_fits_today_s_schema(name: str) -> None:
    kept = kept_examples(OURS, name)
    assert kept[-1] == example_of(name)
    assert [violations(example, name) for example in kept] == [[]] * len(kept)


@pytest.mark.parametrize("name", NAMES)
def test_a_new_field_breaks_no_contract(name: str) -> None:
    example = example_of(name)
    example["newextension"] = "x"
    example["data"]["new_field"] = {"a": 1}
    for item in example["data"].get("items", []):
        item["new_field"] = 1
    assert violations(example, name) == []


def leaves(document: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        leaf
        for key, value in document.items()
        for leaf in (leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)])
    ]


@pytest.mark.parametrize("change", ["lacking", "of another kind"])
@pytest.mark.parametrize("name", NAMES)
def test_a_schema_refuses_every_field_that_is_lacking_or_of_another_kind(name: str, change: str) -> None:
    """A schema that lets all through would pass the other tests. What was added later may lack: older events do."""
    example = example_of(name) if change == "of another kind" else kept_examples(OURS, name)[0]
    for *parents, field in leaves(example):
        broken = deepcopy(example)
        place = broken
        for parent in parents:
            place = place[parent]
        if change == "lacking":
            del place[field]
        else:
            place[field] = True
        assert violations(broken, name), f"{field} {change}"


def test_the_examples_tell_of_one_order() -> None:
    assert len({UUID(example_of(name)["subject"]) for name in NAMES}) == 1
