"""Routing keys and types are agreed with the other services: here they are spelt out, so that none changes unseen."""

from typing import Any

from infrastructure.messages import CONSUMED, PUBLISHED

PUBLISHED_CLASSES: dict[type[Any], str] = dict(PUBLISHED)


def test_each_event_is_published_under_its_agreed_key() -> None:
    assert {event.name: routing_key for event, routing_key in PUBLISHED_CLASSES.items()} == {
        "OrderCreated": "order.created",
        "OrderConfirmed": "order.confirmed",
        "OrderCompleted": "order.completed",
        "OrderFailed": "order.failed",
        "OrderCancelled": "order.cancelled",
    }


def test_each_fact_is_read_under_its_agreed_key() -> None:
    assert {wire.type: wire.routing_key for wire in CONSUMED} == {
        "InventoryReserved": "inventory.reserved",
        "InventoryUnavailable": "inventory.unavailable",
        "InventoryReleased": "inventory.released",
        "PaymentProcessed": "payment.processed",
        "PaymentFailed": "payment.failed",
        "PaymentRefunded": "payment.refunded",
    }
