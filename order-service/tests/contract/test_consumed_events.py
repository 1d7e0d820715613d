"""What this service reads is in what its producers promise: their own examples, today's and all that they ever gave,
with fields that it doesn't know."""

from dataclasses import fields

import orjson
import pytest
from chassis.messaging.envelope import BATCH, SINGLE, Decoder, Unreadable
from chassis.ports.events import Received
from chassis.testing.contracts import read_examples, with_unknown_fields

from application.messages import CONSUMED, Refusal
from tests.contracts import contracts_of


@pytest.mark.parametrize("name", CONSUMED)
def test_the_producer_s_examples_are_read_and_unknown_fields_are_no_matter(name: str) -> None:
    for example, event in read_examples(CONSUMED, name, contracts_of(name)):
        for field in {field.name for field in fields(CONSUMED[name])} & example["data"].keys():
            read, sent = getattr(event.data, field), example["data"][field]
            if field == "shortages":
                read = [{"product_id": str(short.product_id), "missing": short.missing} for short in read]
            assert str(read) == str(sent)


def test_all_examples_are_read_from_one_message() -> None:
    examples = [with_unknown_fields(contracts_of(name).example(name)) for name in CONSUMED]

    events = Decoder(CONSUMED).decode(orjson.dumps(examples), BATCH)

    assert [event.type for event in events if isinstance(event, Received)] == list(CONSUMED)


@pytest.mark.parametrize("name", CONSUMED)
def test_a_fact_without_its_order_can_t_be_read(name: str) -> None:
    example = contracts_of(name).example(name)
    del example["data"]["order_id"]
    [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
    assert not isinstance(event, Received)
    assert event.reason == "invalid-data"


def refusal(**changes: object) -> Received | Unreadable:
    """InventoryUnavailable with these fields of its data, or of its only shortage, otherwise."""
    example = contracts_of("InventoryUnavailable").example("InventoryUnavailable")
    [short] = example["data"]["shortages"]
    for name, value in changes.items():
        (short if name == "missing" else example["data"])[name] = value
    [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
    return event


def test_an_order_is_refused_though_its_event_is_too_old_to_say_what_was_missing() -> None:
    example = contracts_of("InventoryUnavailable").example("InventoryUnavailable")
    del example["data"]["shortages"]
    [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
    assert isinstance(event, Received)
    assert isinstance(event.data, Refusal)
    assert event.data.shortages == ()


def test_what_is_missing_is_a_number_of_pieces_and_of_as_many_products_as_an_order_has() -> None:
    short = contracts_of("InventoryUnavailable").example("InventoryUnavailable")["data"]["shortages"]
    for missing in (1, 1_000_000):
        assert isinstance(refusal(missing=missing), Received), missing
    for number in (0, -1, 1_000_001, 1.5, "many"):
        assert isinstance(refusal(missing=number), Unreadable), number
    for number_of_products in (0, 1, 100):
        assert isinstance(refusal(shortages=short * number_of_products), Received)
    for odd in (short * 101, "all", None, [{"missing": 1}]):
        assert isinstance(refusal(shortages=odd), Unreadable), odd
