"""What this service reads is in what its producers promise: their own examples, today's and all that they ever gave,
with fields that it doesn't know."""

from dataclasses import fields

import orjson
import pytest
from chassis.messaging.envelope import BATCH, SINGLE, Decoder
from chassis.ports.events import Received
from chassis.testing.contracts import read_examples, with_unknown_fields

from application.messages import CONSUMED
from tests.contracts import contracts_of


@pytest.mark.parametrize("name", CONSUMED)
def test_the_producer_s_examples_are_read_and_unknown_fields_are_no_matter(name: str) -> None:
    for example, event in read_examples(CONSUMED, name, contracts_of(name)):
        for field in {field.name for field in fields(CONSUMED[name])} & example["data"].keys():
            assert str(getattr(event.data, field)) == str(example["data"][field])


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
