"""What this service reads is in what its producers promise: their own examples, today's and all that they ever gave,
with fields that it doesn't know."""

from dataclasses import fields
from decimal import Decimal
from typing import Any

import orjson
import pytest
from application.notify_customers import compose
from chassis.messaging.envelope import BATCH, SINGLE, Decoder, Unreadable, Wire
from chassis.ports.events import Received
from chassis.testing.contracts import read_examples, with_unknown_fields
from infrastructure.messages import CONSUMED

from tests.examples import contracts_of, example_of

NAMES = [wire.type for wire in CONSUMED]


@pytest.mark.parametrize(("wire", "reads"), CONSUMED.items(), ids=NAMES)
def test_the_producers_examples_are_read_and_unknown_fields_are_no_matter(wire: Wire, reads: type[Any]) -> None:
    for example, event in read_examples(CONSUMED, wire, contracts_of(wire)):
        for name in {field.name for field in fields(reads)} & example["data"].keys():
            value, sent = getattr(event.data, name), example["data"][name]
            assert value == Decimal(str(sent)) if isinstance(value, Decimal) else str(value) == sent
        assert all(compose(event.data))


def test_all_examples_are_read_from_one_message() -> None:
    examples = [with_unknown_fields(example_of(wire)) for wire in CONSUMED]

    events = Decoder(CONSUMED).decode(orjson.dumps(examples), BATCH)

    assert [event.type for event in events if isinstance(event, Received)] == NAMES


@pytest.mark.parametrize(("wire", "reads"), CONSUMED.items(), ids=NAMES)
def test_an_event_without_a_field_that_is_used_can_not_be_read(wire: Wire, reads: type[Any]) -> None:
    for field in fields(reads):
        example = example_of(wire)
        del example["data"][field.name]

        [event] = Decoder(CONSUMED).decode(orjson.dumps(example), SINGLE)

        assert isinstance(event, Unreadable), field.name
        assert event.reason == "invalid-data"


def test_each_event_is_read_under_its_agreed_key() -> None:
    assert {wire.type: wire.routing_key for wire in CONSUMED} == {
        "InventoryUnavailable": "inventory.unavailable",
        "OrderConfirmed": "order.confirmed",
        "OrderCompleted": "order.completed",
        "OrderFailed": "order.failed",
        "OrderCancelled": "order.cancelled",
        "PaymentProcessed": "payment.processed",
        "PaymentFailed": "payment.failed",
        "PaymentRefunded": "payment.refunded",
    }
