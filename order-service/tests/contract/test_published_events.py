"""What this service really sends fits the contracts that it gives to others, and so do their examples."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from chassis.messaging.envelope import encode
from chassis.ports.ids import uuid7
from chassis.testing.declared import outdated

from domain.order import FINAL, Order, Status
from tests.builders import NOON, TRACEPARENT, WAYS, an_order, line, refuse
from tests.contracts import OURS, PUBLISHED

PRICES = [("19.99", 2), ("0.1", 3), ("5", 1), ("1E+2", 10_000), ("9999999.99", 1)]


def an_order_with_every_kind_of_price() -> Order:
    return an_order(*[line(price, quantity) for price, quantity in PRICES])


def sent_by(order: Order) -> list[dict[str, Any]]:
    said = [(event, False) for event in order.events] + [(event, True) for event in order.repeats]
    return [
        orjson.loads(
            encode(
                "order-service", event, event_id=uuid7(), time=NOON, traceparent=order.traceparent, repeat=repeat
            ).body
        )
        for event, repeat in said
    ]


@pytest.mark.parametrize("status", list(Status))
def test_all_events_of_an_order_fit_their_schemas(status: Status) -> None:
    order = an_order_with_every_kind_of_price()
    for act in WAYS[status]:
        act(order, NOON + timedelta(seconds=1))
    first = sent_by(order)
    order.events.clear()
    if status in FINAL:
        order.repeat_decision()
    sent = [*first, *sent_by(order)]

    assert {event["type"] for event in sent} >= {"OrderCreated"}
    for event in sent:
        assert OURS.violations(event, event["type"]) == []
        assert event["subject"] == event["data"]["order_id"] == str(order.id)
        assert event["data"]["customer_id"] == str(order.customer_id)
        assert event["traceparent"] == TRACEPARENT
    if status in FINAL:
        assert sent[-1]["id"] != sent[-2]["id"]
        assert sent[-1] == sent[-2] | {"id": sent[-1]["id"], "repeat": True}


def test_an_order_that_is_refused_says_what_was_missing() -> None:
    order = an_order_with_every_kind_of_price()
    refuse(order, NOON)
    [_, failed] = sent_by(order)
    assert OURS.violations(failed, "OrderFailed") == []
    assert failed["data"]["shortages"] == [{"product_id": str(order.items[0].product_id), "missing": 1}]


def test_money_travels_as_numbers_without_loss() -> None:
    order = an_order_with_every_kind_of_price()
    [created] = sent_by(order)
    assert [item["price"] for item in created["data"]["items"]] == [19.99, 0.1, 5.0, 100.0, 9999999.99]
    assert created["data"]["total_amount"] == float(order.total_amount)


def test_the_contracts_are_those_of_the_events_that_are_published() -> None:
    assert OURS.problems(PUBLISHED) == []
    assert outdated(PUBLISHED, OURS.folder.parent) == {}, "run `make contracts`"


def test_the_examples_tell_of_one_order() -> None:
    assert len({UUID(OURS.example(event.name)["subject"]) for event in PUBLISHED}) == 1
