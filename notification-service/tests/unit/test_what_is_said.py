"""What customers are told about each event, in which words."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from application.handle_events import message_about
from application.messages import CONSUMED, Event, EventWithAmount, EventWithReason, EventWithShortages, Missing

ORDER, CUSTOMER = UUID("0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001"), UUID("5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11")
SAID: dict[tuple[str, Any], tuple[str, str]] = {
    ("OrderConfirmed", Event(ORDER, CUSTOMER)): ("Order confirmed", "set aside for you"),
    ("OrderCompleted", Event(ORDER, CUSTOMER)): ("Order completed", "is complete"),
    ("OrderCancelled", Event(ORDER, CUSTOMER)): ("Order cancelled", "was cancelled, as you asked"),
    ("OrderFailed", EventWithShortages(ORDER, CUSTOMER, "expired")): ("Order failed", "it was not finished in time."),
    ("InventoryUnavailable", EventWithShortages(ORDER, CUSTOMER, "out-of-stock")): (
        "Not available",
        "a product is out of stock.",
    ),
    ("PaymentProcessed", EventWithAmount(ORDER, CUSTOMER, Decimal("39.9"), "USD")): ("Payment received", "39.90 USD"),
    ("PaymentFailed", EventWithReason(ORDER, CUSTOMER, "payment-declined")): (
        "Payment failed",
        "declined. You were not charged.",
    ),
    ("PaymentRefunded", EventWithAmount(ORDER, CUSTOMER, Decimal("1E+2"), "EUR")): (
        "Payment refunded",
        "100.00 EUR back",
    ),
}


@pytest.mark.parametrize(("name", "data"), SAID, ids=[name for name, _ in SAID])
def test_each_event_has_its_words_and_names_the_order(name: str, data: Any) -> None:
    subject, message = message_about(name, data)

    assert subject == SAID[name, data][0]
    assert SAID[name, data][1] in message
    assert str(ORDER) in message


def test_every_event_that_is_read_has_words() -> None:
    assert {name: type(data) for name, data in SAID} == CONSUMED


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
    assert words in message_about("OrderFailed", EventWithShortages(ORDER, CUSTOMER, reason))[1]


@pytest.mark.parametrize("name", ["OrderFailed", "InventoryUnavailable"])
def test_a_customer_hears_what_was_missing(name: str) -> None:
    missing = tuple(Missing(UUID(int=number), number) for number in (1, 2))
    message = message_about(name, EventWithShortages(ORDER, CUSTOMER, "out-of-stock", missing))[1]
    assert message.endswith(f": a product is out of stock (missing: 1 of {UUID(int=1)}, 2 of {UUID(int=2)}).")


def test_whatever_is_missing_fits_into_a_message() -> None:
    most = tuple(Missing(UUID(int=number), 1_000_000) for number in range(100))
    data = EventWithShortages(ORDER, CUSTOMER, "out-of-stock", most)
    assert len(message_about("OrderFailed", data)[1]) < 10_000


def test_an_event_without_words_is_an_error_and_not_an_empty_message() -> None:
    with pytest.raises(TypeError, match="ParcelLost is not told"):
        message_about("ParcelLost", Event(ORDER, CUSTOMER))
