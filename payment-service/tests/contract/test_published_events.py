"""What this service really sends fits the contracts that it gives to others, and so do their examples."""

from decimal import Decimal
from typing import Any

import orjson
import pytest
from chassis.messaging.envelope import encode
from chassis.ports.events import routing_key
from chassis.testing.declared import outdated
from chassis.testing.units import Published

from application.messages import InventoryReserved
from domain.attempt import Answer
from tests.contracts import OURS, PUBLISHED
from tests.gateway import FakeGateway
from tests.messages import TRACEPARENT, reserved, undone
from tests.till import Till


def sent(published: Published) -> dict[str, Any]:
    outgoing = encode(
        "payment-service",
        published.event,
        event_id=published.event_id,
        time=published.time,
        traceparent=published.traceparent,
        repeat=published.repeat,
    )
    assert outgoing.routing_key == routing_key(published.event.name)
    document: dict[str, Any] = orjson.loads(outgoing.body)
    return document


@pytest.fixture
async def published() -> list[Published]:
    """Every event in every variant, as the use cases make them."""
    paid = Till(FakeGateway())
    order = reserved()
    await paid.take(order)
    await paid.take(undone(order))
    declined, failing = Till(FakeGateway(Answer.DECLINED)), Till(FakeGateway(Answer.ERROR), retry_delays=[])
    await declined.take(reserved())
    await failing.take(reserved())
    return paid.published + declined.published + failing.published


async def test_every_event_that_is_sent_fits_its_schema(published: list[Published]) -> None:
    documents = [sent(one) for one in published]
    assert [document["type"] for document in documents] == [
        *("PaymentProcessed", "PaymentRefunded", "PaymentFailed", "PaymentFailed")
    ]
    for document in documents:
        assert OURS.violations(document, document["type"]) == []
        assert document["subject"] == document["data"]["order_id"]
        assert document["traceparent"] == TRACEPARENT


@pytest.mark.parametrize("amount", ["39.98", "0.01", "0.1", "5", "1E+2", "9999999999.99"])
async def test_money_is_sent_as_the_number_that_came(amount: str) -> None:
    till, order = Till(FakeGateway()), reserved()
    await till.take(InventoryReserved(order.order_id, order.customer_id, Decimal(amount), "USD", order.expires_at))
    document = sent(till.published[0])
    assert OURS.violations(document, "PaymentProcessed") == []
    assert document["data"]["amount"] == float(amount)


def test_the_contracts_are_those_of_the_events_that_are_published() -> None:
    assert OURS.problems(PUBLISHED) == []
    assert outdated(PUBLISHED, OURS.folder.parent) == {}, "run `make contracts`"


def test_each_event_is_published_under_its_agreed_key() -> None:
    assert {event.name: routing_key(event.name) for event in PUBLISHED} == {
        "PaymentProcessed": "payment.processed",
        "PaymentFailed": "payment.failed",
        "PaymentRefunded": "payment.refunded",
    }
