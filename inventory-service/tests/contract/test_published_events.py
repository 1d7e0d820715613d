"""What this service really sends fits the contracts that it gives to others, and so do their examples."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from chassis.messaging.envelope import encode
from chassis.ports.events import routing_key
from chassis.testing import received
from chassis.testing.declared import outdated
from chassis.testing.units import Published

from application.messages import OrderCreated, OrderedLine
from tests.contracts import OURS, PUBLISHED
from tests.inventory import Inventory
from tests.messages import CUSTOMER, TRACEPARENT, order_created, undone

PRODUCT = UUID(int=1)
PRICES = ["19.99", "0.01", "0.1", "5", "1E+2", "9999999999.99"]


def sent(published: Published) -> dict[str, Any]:
    outgoing = encode(
        "inventory-service",
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
    inventory = Inventory()
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 1), expires_at=inventory.now + timedelta(minutes=15))
    await inventory.take_received(received(order))  # comes without a trace, and gets one
    inventory.pass_time(timedelta(minutes=20))
    await inventory.remind()
    await inventory.take(undone(order, "expired"))
    await inventory.take(order_created((PRODUCT, 11), expires_at=datetime.max.replace(tzinfo=UTC)))
    await inventory.take(order_created((uuid4(), 1), expires_at=datetime.max.replace(tzinfo=UTC)))
    return inventory.published


async def test_every_event_that_is_sent_fits_its_schema(published: list[Published]) -> None:
    documents = [sent(one) for one in published]
    assert {document["type"] for document in documents} == {event.name for event in PUBLISHED}
    for document in documents:
        assert OURS.violations(document, document["type"]) == []
        assert document["subject"] == document["data"]["order_id"]


@pytest.mark.parametrize("price", PRICES)
async def test_money_is_sent_as_the_number_that_came(price: str) -> None:
    inventory = Inventory()
    await inventory.stock(PRODUCT, 1)
    amount = Decimal(price)
    deadline = inventory.now + timedelta(minutes=1)
    lines = (OrderedLine(PRODUCT, 1, amount),)
    await inventory.take(OrderCreated(uuid4(), CUSTOMER, lines, amount, "USD", deadline))
    document = sent(inventory.published[0])
    assert OURS.violations(document, "InventoryReserved") == []
    assert document["data"]["total_amount"] == document["data"]["items"][0]["price"] == float(price)


async def test_the_trace_of_the_order_goes_on() -> None:
    inventory = Inventory()
    await inventory.stock(PRODUCT, 1)
    await inventory.take_received(received(order_created((PRODUCT, 1)), traceparent=TRACEPARENT))
    assert sent(inventory.published[0])["traceparent"] == TRACEPARENT


def test_the_contracts_are_those_of_the_events_that_are_published() -> None:
    assert OURS.problems(PUBLISHED) == []
    assert outdated(PUBLISHED, OURS.folder.parent) == {}, "run `make contracts`"
