"""What this service reads is in what its producers promise: their own examples, today's and all that they ever gave,
with fields that it doesn't know."""

from dataclasses import MISSING, fields
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from chassis.messaging.envelope import BATCH, SINGLE, Decoder, Unreadable
from chassis.ports.events import Received
from chassis.testing.contracts import read_examples, with_unknown_fields

from application.messages import CONSUMED, OrderCreated
from tests.contracts import contracts_of


@pytest.mark.parametrize("name", CONSUMED)
def test_the_producers_examples_are_read_and_unknown_fields_are_no_matter(name: str) -> None:
    assert list(read_examples(CONSUMED, name, contracts_of(name)))


def test_money_is_read_to_the_last_digit() -> None:
    example = contracts_of("OrderCreated").example("OrderCreated")
    [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
    assert isinstance(event, Received)
    created = event.data
    assert isinstance(created, OrderCreated)
    assert created.total_amount == Decimal(str(example["data"]["total_amount"]))
    read = [(line.product_id, line.quantity, line.price) for line in created.items]
    assert read == [
        (UUID(item["product_id"]), item["quantity"], Decimal(str(item["price"]))) for item in example["data"]["items"]
    ]
    assert sum(line.price * line.quantity for line in created.items) == created.total_amount


def required(name: str) -> set[str]:
    return {field.name for field in fields(CONSUMED[name]) if field.default is MISSING}


def test_the_price_of_an_order_is_trusted_unless_its_event_says_otherwise() -> None:
    example = contracts_of("OrderCreated").example("OrderCreated")
    for given, read in (({}, True), ({"price_trusted": True}, True), ({"price_trusted": False}, False)):
        example["data"].pop("price_trusted", None)
        example["data"] |= given
        [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
        assert isinstance(event, Received)
        assert event.data.price_trusted is read


@pytest.mark.parametrize("name", CONSUMED)
def test_every_field_that_is_read_is_one_that_the_producer_promises(name: str) -> None:
    promised = contracts_of(name).schema(name)["properties"]["data"]
    assert required(name) <= set(promised["required"])
    assert {field.name for field in fields(CONSUMED[name])} <= set(promised["properties"])
    if name == "OrderCreated":
        assert {"product_id", "quantity", "price"} <= set(promised["properties"]["items"]["items"]["required"])


def test_the_examples_of_all_producers_are_read_from_one_message() -> None:
    examples = [with_unknown_fields(contracts_of(name).example(name)) for name in CONSUMED]
    events = Decoder(CONSUMED).decode(orjson.dumps(examples), BATCH)
    assert [event.type for event in events if isinstance(event, Received)] == list(CONSUMED)


@pytest.mark.parametrize("name", CONSUMED)
def test_an_event_that_lacks_a_field_that_is_read_is_unreadable(name: str) -> None:
    for field in required(name):
        example = contracts_of(name).example(name)
        del example["data"][field]
        [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
        assert isinstance(event, Unreadable), field
        assert event.reason == "invalid-data"


def read(**changes: object) -> Received | Unreadable:
    """OrderCreated with these fields of its data, or of its only line, otherwise."""
    example = contracts_of("OrderCreated").example("OrderCreated")
    [line, *_] = example["data"]["items"]
    example["data"]["items"] = [line]
    for name, value in changes.items():
        (line if name in ("quantity", "price") else example["data"])[name] = value
    [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
    return event


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("quantity", (1, 10_000), (0, 10_001, -1, 1.5, "many")),
        ("price", (0.01, 9_999_999_999.99), (0, -0.01, 0.001, 10_000_000_000)),
        ("total_amount", (0.01, 9_999_999_999.99), (0, -1, 0.001, 10_000_000_000)),
        ("currency", ("EUR",), ("eur", "EURO", "")),
        ("expires_at", ("2026-11-24T12:15:00Z",), ("2026-11-24T12:15:00", "9000-01-01T00:00:00Z", "soon")),
    ],
)
def test_what_the_producer_may_not_say_is_unreadable(
    field: str, good: tuple[object, ...], bad: tuple[object, ...]
) -> None:
    for value in good:
        assert isinstance(read(**{field: value}), Received), value
    for value in bad:
        event = read(**{field: value})
        assert isinstance(event, Unreadable), value
        assert event.reason == "invalid-data"


@pytest.mark.parametrize(("lines", "kind"), [(0, Unreadable), (1, Received), (100, Received), (101, Unreadable)])
def test_an_order_has_one_to_a_hundred_lines(lines: int, kind: type) -> None:
    line = contracts_of("OrderCreated").example("OrderCreated")["data"]["items"][0]
    assert isinstance(read(items=[line] * lines), kind)
