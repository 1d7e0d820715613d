"""What this service reads is in what its producers promise: their own examples, today's and all that they ever gave,
with fields that it doesn't know."""

from dataclasses import fields
from decimal import Decimal

import orjson
import pytest
from chassis.messaging.envelope import BATCH, SINGLE, Decoder, Unreadable
from chassis.ports.events import Received
from chassis.testing.contracts import read_examples, with_unknown_fields

from application.messages import CONSUMED, InventoryReserved
from tests.contracts import contracts_of


@pytest.mark.parametrize("name", CONSUMED)
def test_the_producers_examples_are_read_and_unknown_fields_are_no_matter(name: str) -> None:
    assert list(read_examples(CONSUMED, name, contracts_of(name)))


def test_money_is_read_to_the_last_digit() -> None:
    example = contracts_of("InventoryReserved").example("InventoryReserved")
    for amount in (example["data"]["total_amount"], 0.01, 5, 9999999999.99):
        example["data"]["total_amount"] = amount
        [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
        assert isinstance(event, Received)
        assert isinstance(event.data, InventoryReserved)
        assert event.data.total_amount == Decimal(str(amount))


@pytest.mark.parametrize("amount", [0, -1, 0.001, 10_000_000_000, "NaN", None])
def test_an_amount_that_nobody_can_be_charged_is_unreadable(amount: object) -> None:
    example = contracts_of("InventoryReserved").example("InventoryReserved")
    example["data"]["total_amount"] = amount
    [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
    assert isinstance(event, Unreadable)
    assert event.reason == "invalid-data"


@pytest.mark.parametrize("name", CONSUMED)
def test_every_field_that_is_read_is_one_that_the_producer_promises(name: str) -> None:
    promised = contracts_of(name).schema(name)["properties"]["data"]
    assert {field.name for field in fields(CONSUMED[name])} <= set(promised["required"])


def test_the_examples_of_all_producers_are_read_from_one_message() -> None:
    examples = [with_unknown_fields(contracts_of(name).example(name)) for name in CONSUMED]
    events = Decoder(CONSUMED).decode(orjson.dumps(examples), BATCH)
    assert [event.type for event in events if isinstance(event, Received)] == list(CONSUMED)


@pytest.mark.parametrize("name", CONSUMED)
def test_an_event_that_lacks_a_field_that_is_read_is_unreadable(name: str) -> None:
    for field in fields(CONSUMED[name]):
        example = contracts_of(name).example(name)
        del example["data"][field.name]
        [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
        assert isinstance(event, Unreadable), field.name
        assert event.reason == "invalid-data"


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("total_amount", (0, -1, 0.001, 10_000_000_000, "much")),
        ("currency", ("eur", "EURO", "")),
        ("expires_at", ("2026-11-24T12:15:00", "9000-01-01T00:00:00Z", "soon")),
    ],
)
def test_what_the_producer_may_not_say_is_unreadable(field: str, bad: tuple[object, ...]) -> None:
    for value in bad:
        example = contracts_of("InventoryReserved").example("InventoryReserved")
        example["data"][field] = value
        [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
        assert isinstance(event, Unreadable), value
        assert event.reason == "invalid-data"
