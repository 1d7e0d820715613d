"""What this service reads is in what its producers promise: their own examples, today's and all that they ever gave,
with fields that it doesn't know."""

from dataclasses import fields
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from chassis.messaging.envelope import BATCH, SINGLE, Decoder, Unreadable, Wire
from chassis.ports.events import Received
from chassis.testing.contracts import Contracts, read_examples, with_unknown_fields

from application.messages import OrderCreated
from infrastructure.messages import CONSUMED
from tests.contracts import ROOT

WIRES = sorted(CONSUMED, key=lambda wire: wire.type)
CREATED = Wire("OrderCreated", "order.created")


def contracts_of(wire: Wire) -> Contracts:
    return Contracts(ROOT / f"{wire.routing_key.partition('.')[0]}-service" / "contracts")


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.type)
def test_the_producers_examples_are_read_and_unknown_fields_are_no_matter(wire: Wire) -> None:
    assert list(read_examples(CONSUMED, wire, contracts_of(wire)))


def test_money_is_read_to_the_last_digit() -> None:
    example = contracts_of(CREATED).example("OrderCreated")
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


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.type)
def test_every_field_that_is_read_is_one_that_the_producer_promises(wire: Wire) -> None:
    promised = contracts_of(wire).schema(wire.type)["properties"]["data"]
    assert {field.name for field in fields(CONSUMED[wire])} <= set(promised["required"])
    if wire == CREATED:
        assert {"product_id", "quantity", "price"} <= set(promised["properties"]["items"]["items"]["required"])


def test_the_examples_of_all_producers_are_read_from_one_message() -> None:
    examples = [with_unknown_fields(contracts_of(wire).example(wire.type)) for wire in WIRES]
    events = Decoder(CONSUMED).decode(orjson.dumps(examples), BATCH)
    assert [event.type for event in events if isinstance(event, Received)] == [wire.type for wire in WIRES]


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.type)
def test_an_event_that_lacks_a_field_that_is_read_is_unreadable(wire: Wire) -> None:
    for field in fields(CONSUMED[wire]):
        example = contracts_of(wire).example(wire.type)
        del example["data"][field.name]
        [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)
        assert isinstance(event, Unreadable), field.name
        assert event.reason == "invalid-data"
