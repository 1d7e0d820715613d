"""What customers are told about each event, in which words."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from application.handle_events import message_about
from application.messages import (
    InventoryUnavailable,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderFailed,
    PaymentFailed,
    PaymentProcessed,
    PaymentRefunded,
)

ORDER, CUSTOMER = UUID("0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001"), UUID("5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11")
SAID: dict[Any, tuple[str, str]] = {
    OrderConfirmed(ORDER, CUSTOMER): ("Order confirmed", "set aside for you"),
    OrderCompleted(ORDER, CUSTOMER): ("Order completed", "is complete"),
    OrderCancelled(ORDER, CUSTOMER): ("Order cancelled", "was cancelled, as you asked"),
    OrderFailed(ORDER, CUSTOMER, "expired"): ("Order failed", "it was not finished in time"),
    InventoryUnavailable(ORDER, CUSTOMER, "out-of-stock"): ("Not available", "a product is out of stock"),
    PaymentProcessed(ORDER, CUSTOMER, Decimal("39.9"), "USD"): ("Payment received", "39.90 USD"),
    PaymentFailed(ORDER, CUSTOMER, "payment-declined"): ("Payment failed", "declined. You were not charged."),
    PaymentRefunded(ORDER, CUSTOMER, Decimal("1E+2"), "EUR"): ("Payment refunded", "100.00 EUR back"),
}


@pytest.mark.parametrize("event", SAID, ids=lambda event: type(event).__name__)
def test_each_event_has_its_words_and_names_the_order(event: Any) -> None:
    subject, message = message_about(event)

    assert subject == SAID[event][0]
    assert SAID[event][1] in message
    assert str(ORDER) in message


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("out-of-stock", "a product is out of stock"),
        ("unknown-product", "a product is not sold here"),
        ("payment-declined", "the payment was declined"),
        ("payment-retries-exhausted", "the payment did not go through"),
        ("expired", "it was not finished in time"),
        ("a-reason-of-tomorrow", "a reason of tomorrow"),
    ],
)
def test_a_reason_is_told_in_words_not_as_a_slug(reason: str, words: str) -> None:
    assert words in message_about(OrderFailed(ORDER, CUSTOMER, reason))[1]


def test_an_event_without_words_is_an_error_and_not_an_empty_message() -> None:
    with pytest.raises(TypeError, match="SimpleNamespace is not told"):
        message_about(SimpleNamespace(order_id=ORDER))
