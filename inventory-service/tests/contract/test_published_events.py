"""What this service really sends fits the contracts that it gives to others, and so do their examples."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from chassis.events import Encoder
from chassis.testing import Published, kept_examples, received
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships none

from application.messages import OrderCreated, OrderedLine
from infrastructure.messages import PUBLISHED
from tests.contracts import OURS, example_of, schema_of, violations
from tests.inventory import Inventory
from tests.messages import CUSTOMER, TRACEPARENT, order_created, undone

EVENTS: list[type[Any]] = list(PUBLISHED)
NAMES = sorted(event.name for event in EVENTS)
PRODUCT = UUID(int=1)
PRICES = ["19.99", "0.01", "0.1", "5", "1E+2", "9999999999.99"]


def sent(published: Published) -> dict[str, Any]:
    encoder = Encoder("inventory-service", PUBLISHED)
    outgoing = encoder.encode(
        published.event, event_id=published.event_id, time=published.time, traceparent=published.traceparent
    )
    assert outgoing.routing_key == PUBLISHED[type(published.event)]
    document: dict[str, Any] = orjson.loads(outgoing.body)
    return document


@pytest.fixture
async def published() -> list[Published]:
    """Every event in every variant, as the use cases make them."""
    inventory = Inventory()
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 1), expires_at=inventory.store.now + timedelta(minutes=15))
    await inventory.take_received(received(order))  # bears no trace, and gets one
    inventory.pass_time(timedelta(minutes=20))
    await inventory.remind()
    await inventory.take(undone(order, "expired"))
    await inventory.take(order_created((PRODUCT, 11), expires_at=datetime.max.replace(tzinfo=UTC)))
    await inventory.take(order_created((uuid4(), 1), expires_at=datetime.max.replace(tzinfo=UTC)))
    return inventory.store.published


async def test_every_event_that_is_sent_fits_its_schema(published: list[Published]) -> None:
    documents = [sent(one) for one in published]
    assert {document["type"] for document in documents} == set(NAMES)
    for document in documents:
        assert violations(document, document["type"]) == []
        assert document["subject"] == document["data"]["order_id"]


@pytest.mark.parametrize("price", PRICES)
async def test_money_is_sent_as_the_number_that_came(price: str) -> None:
    inventory = Inventory()
    await inventory.stock(PRODUCT, 1)
    amount = Decimal(price)
    deadline = inventory.store.now + timedelta(minutes=1)
    lines = (OrderedLine(PRODUCT, 1, amount),)
    await inventory.take(OrderCreated(uuid4(), CUSTOMER, lines, amount, "USD", deadline))
    document = sent(inventory.store.published[0])
    assert violations(document, "InventoryReserved") == []
    assert document["data"]["total_amount"] == document["data"]["items"][0]["price"] == float(price)


async def test_the_trace_of_the_order_goes_on() -> None:
    inventory = Inventory()
    await inventory.stock(PRODUCT, 1)
    await inventory.take_received(received(order_created((PRODUCT, 1)), traceparent=TRACEPARENT))
    assert sent(inventory.store.published[0])["traceparent"] == TRACEPARENT


def test_every_event_has_its_contract_and_no_other_has_one() -> None:
    assert {path.name for path in OURS.glob("*.json")} == {
        f"{name}.{kind}.json" for name in NAMES for kind in ("schema", "example")
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_its_id_is_the_events_dataschema(name: str) -> None:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:order-processing:event:{name}:1" == example_of(name)["dataschema"]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_schema_tells_of_every_field_that_is_sent(event: type[Any]) -> None:
    assert {field.name for field in fields(event)} == set(schema_of(event.name)["properties"]["data"]["properties"])


@pytest.mark.parametrize("name", NAMES)
def test_every_example_that_was_ever_given_is_kept_and_fits_todays_schema(name: str) -> None:
    kept = kept_examples(OURS, name)
    assert kept[-1] == example_of(name)
    assert [violations(example, name) for example in kept] == [[]] * len(kept)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_fits_its_schema_and_shows_every_field(name: str) -> None:
    example, properties = example_of(name), schema_of(name)["properties"]
    assert violations(example, name) == []
    assert example.keys() == properties.keys()
    assert example["data"].keys() == properties["data"]["properties"].keys()
    assert example["subject"] == example["data"]["order_id"]


@pytest.mark.parametrize("name", NAMES)
def test_a_new_field_breaks_no_contract(name: str) -> None:
    example = example_of(name) | {"newextension": "x"}
    example["data"]["new_field"] = {"a": 1}
    for item in example["data"].get("items", []):
        item["new_field"] = 1
    assert violations(example, name) == []


def leaves(document: Any) -> Iterator[list[Any]]:
    """The path of every value in the document that is neither an object nor an array."""
    if not isinstance(document, dict | list):
        yield []
        return
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        for path in leaves(value):
            yield [key, *path]


@pytest.mark.parametrize("change", ["lacking", "of another kind"])
@pytest.mark.parametrize("name", NAMES)
def test_a_schema_refuses_every_field_that_is_lacking_or_of_another_kind(name: str, change: str) -> None:
    """A schema that lets all through would pass the other tests. What was added later may lack: older events do."""
    example = example_of(name) if change == "of another kind" else kept_examples(OURS, name)[0]
    for *parents, field in leaves(example):
        place = broken = deepcopy(example)
        for parent in parents:
            place = place[parent]
        if change == "lacking":
            del place[field]
        else:
            place[field] = True
        assert violations(broken, name), f"{parents} {field} {change}"
