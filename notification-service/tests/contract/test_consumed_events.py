"""What this service reads is in what its producers promise: their own examples, today's and all that they ever gave,
with fields that it doesn't know."""

from dataclasses import MISSING, fields
from decimal import Decimal
from typing import Any

import orjson
import pytest
from chassis.messaging.envelope import BATCH, SINGLE, Decoder, Unreadable
from chassis.ports.events import Received
from chassis.testing.contracts import read_examples, with_unknown_fields

from application.handle_events import message_about
from application.messages import CONSUMED
from tests.contracts import contracts_of


@pytest.mark.parametrize(("name", "reads"), CONSUMED.items(), ids=list(CONSUMED))
def test_the_producers_examples_are_read_and_unknown_fields_are_no_matter(name: str, reads: type[Any]) -> None:
    for example, event in read_examples(CONSUMED, name, contracts_of(name)):
        for field in {field.name for field in fields(reads)} & example["data"].keys():
            value, sent = getattr(event.data, field), example["data"][field]
            if field == "shortages":
                value, sent = (
                    str([(str(short.product_id), short.missing) for short in value]),
                    str([(short["product_id"], short["missing"]) for short in sent]),
                )
            assert value == Decimal(str(sent)) if isinstance(value, Decimal) else str(value) == sent
        assert all(message_about(name, event.data))


def test_all_examples_are_read_from_one_message() -> None:
    examples = [with_unknown_fields(contracts_of(name).example(name)) for name in CONSUMED]

    events = Decoder(CONSUMED).decode(orjson.dumps(examples), BATCH)

    assert [event.type for event in events if isinstance(event, Received)] == list(CONSUMED)


@pytest.mark.parametrize(("name", "reads"), CONSUMED.items(), ids=list(CONSUMED))
def test_an_event_without_a_field_that_is_used_can_not_be_read(name: str, reads: type[Any]) -> None:
    for field in fields(reads):
        if field.default is not MISSING:
            continue
        example = contracts_of(name).example(name)
        del example["data"][field.name]

        [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)

        assert isinstance(event, Unreadable), field.name
        assert event.reason == "invalid-data"


@pytest.mark.parametrize("name", ["InventoryUnavailable", "OrderFailed"])
def test_what_is_missing_may_be_absent_but_not_odd(name: str) -> None:
    example = contracts_of(name).example(name)
    [short] = example["data"]["shortages"]
    for shortages, kind in (
        ([], Received),
        ([short] * 100, Received),
        ([short] * 101, Unreadable),
        ([short | {"missing": 0}], Unreadable),
        ([short | {"missing": 1_000_001}], Unreadable),
        ("all", Unreadable),
    ):
        example["data"]["shortages"] = shortages
        [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
        assert isinstance(event, kind), shortages
    del example["data"]["shortages"]
    [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
    assert isinstance(event, Received)
    assert event.data.shortages == ()
