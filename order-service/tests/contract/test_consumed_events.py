"""What this service reads is in what its producers promise: their own examples, today's and all that they ever gave,
with fields that it doesn't know."""

from dataclasses import fields
from typing import Any

import orjson
import pytest
from chassis.messaging.envelope import BATCH, SINGLE, Decoder, Wire
from chassis.ports.events import Received
from chassis.testing.contracts import Contracts, read_examples, with_unknown_fields

from infrastructure.messages import CONSUMED
from tests.contracts import ROOT

PRODUCERS = {"inventory": "inventory-service", "payment": "payment-service"}


def contracts_of(wire: Wire) -> Contracts:
    return Contracts(ROOT / PRODUCERS[wire.routing_key.partition(".")[0]] / "contracts")


@pytest.mark.parametrize(("wire", "reads"), CONSUMED.items(), ids=[wire.type for wire in CONSUMED])
def test_the_producer_s_examples_are_read_and_unknown_fields_are_no_matter(wire: Wire, reads: type[Any]) -> None:
    for example, event in read_examples(CONSUMED, wire, contracts_of(wire)):
        for name in {field.name for field in fields(reads)} & example["data"].keys():
            assert str(getattr(event.data, name)) == example["data"][name]


def test_all_examples_are_read_from_one_message() -> None:
    examples = [with_unknown_fields(contracts_of(wire).example(wire.type)) for wire in CONSUMED]

    events = Decoder(CONSUMED).decode(orjson.dumps(examples), BATCH)

    assert [event.type for event in events if isinstance(event, Received)] == [wire.type for wire in CONSUMED]


@pytest.mark.parametrize("wire", CONSUMED, ids=[wire.type for wire in CONSUMED])
def test_a_fact_without_its_order_can_t_be_read(wire: Wire) -> None:
    example = contracts_of(wire).example(wire.type)
    del example["data"]["order_id"]
    [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
    assert not isinstance(event, Received)
    assert event.reason == "invalid-data"
