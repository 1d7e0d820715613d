"""Routing keys and types are agreed with the other services: here they are spelt out, so that none changes unseen."""

from chassis.ports.events import routing_key

from application.messages import CONSUMED
from tests.contracts import PUBLISHED


def test_each_event_is_published_under_its_agreed_key() -> None:
    assert {event.name: routing_key(event.name) for event in PUBLISHED} == {
        "OrderCreated": "order.created",
        "OrderConfirmed": "order.confirmed",
        "OrderCompleted": "order.completed",
        "OrderFailed": "order.failed",
        "OrderCancelled": "order.cancelled",
    }


def test_each_fact_is_read_under_its_agreed_key() -> None:
    assert {name: routing_key(name) for name in CONSUMED} == {
        "InventoryReserved": "inventory.reserved",
        "InventoryUnavailable": "inventory.unavailable",
        "InventoryReleased": "inventory.released",
        "PaymentProcessed": "payment.processed",
        "PaymentFailed": "payment.failed",
        "PaymentRefunded": "payment.refunded",
    }
