"""What this service reads is in what its producers promise: their own examples, today's and all that they ever gave,
with fields that it doesn't know."""

from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from chassis.events import BATCH, SINGLE, Decoder, Received, Wire
from chassis.testing import kept_examples

from infrastructure.messages import CONSUMED
from tests.contracts import ROOT, example_of

PRODUCERS = {"inventory": "inventory-service", "payment": "payment-service"}


def contracts_of(wire: Wire) -> Path:
    return ROOT / PRODUCERS[wire.routing_key.partition(".")[0]] / "contracts"


def with_unknown_fields(event: dict[str, Any]) -> bytes:
    return orjson.dumps(event | {"newextension": "x", "data": event["data"] | {"new_field": {"a": [1]}}})


@pytest.mark.parametrize(("wire", "reads"), CONSUMED.items(), ids=[wire.type for wire in CONSUMED])
def test_the_producer_s_examples_are_read_and_unknown_fields_are_no_matter(wire: Wire, reads: type[Any]) -> None:
    for example in kept_examples(contracts_of(wire), wire.type):
        [event] = Decoder(CONSUMED).decode(with_unknown_fields(example), SINGLE)

        assert isinstance(event, Received), event
        assert isinstance(event.data, reads)
        assert (event.id, event.type, event.order_id) == (UUID(example["id"]), wire.type, example["data"]["order_id"])
        assert event.traceparent == example["traceparent"]
        for name in {field.name for field in fields(reads)} & example["data"].keys():
            assert str(getattr(event.data, name)) == example["data"][name]


def test_all_examples_are_read_from_one_message() -> None:
    examples = [example_of(wire.type, contracts_of(wire)) for wire in CONSUMED]
    body = b"[" + b",".join(with_unknown_fields(example) for example in examples) + b"]"

    events = Decoder(CONSUMED).decode(body, BATCH)

    assert [event.type for event in events if isinstance(event, Received)] == [wire.type for wire in CONSUMED]


@pytest.mark.parametrize("wire", CONSUMED, ids=[wire.type for wire in CONSUMED])
def test_a_fact_without_its_order_can_t_be_read(wire: Wire) -> None:
    example = example_of(wire.type, contracts_of(wire))
    del example["data"]["order_id"]
    [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
    assert not isinstance(event, Received)
    assert event.reason == "invalid-data"
