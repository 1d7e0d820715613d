"""The digest of a request: of all that was asked for, and the same whatever the code that makes it looks like."""

from collections.abc import Callable
from dataclasses import fields, replace
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from application.fingerprint import fingerprint, is_of
from application.place_orders import PlaceOrder
from domain.events import Line
from tests.builders import TRACEPARENT

CUSTOMER = UUID("5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11")
BOOK = Line(UUID("9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01"), 2, Decimal("19.99"))
PEN = Line(UUID("0b9d7b43-7a34-4a0e-9a55-3a0f4a6f9a02"), 1, Decimal("100.00"))
ASKED = PlaceOrder(CUSTOMER, (BOOK, PEN), TRACEPARENT)

OTHERWISE: dict[str, Callable[[PlaceOrder], PlaceOrder]] = {
    "customer_id": lambda asked: replace(asked, customer_id=uuid4()),
    "items": lambda asked: replace(asked, items=(PEN, BOOK)),
    "items.product_id": lambda asked: replace(asked, items=(replace(BOOK, product_id=uuid4()), PEN)),
    "items.quantity": lambda asked: replace(asked, items=(replace(BOOK, quantity=3), PEN)),
    "items.price": lambda asked: replace(asked, items=(replace(BOOK, price=Decimal("19.98")), PEN)),
}
NOT_ASKED_FOR = {"traceparent", "idempotency_key"}


def fingerprint_of(asked: PlaceOrder) -> bytes:
    return fingerprint(asked.customer_id, asked.items)


def test_every_field_of_a_request_is_asked_for_or_known_not_to_be() -> None:
    names = {field.name for field in fields(PlaceOrder)} | {f"items.{field.name}" for field in fields(Line)}
    assert names == OTHERWISE.keys() | NOT_ASKED_FOR


@pytest.mark.parametrize("otherwise", OTHERWISE.values(), ids=OTHERWISE)
def test_whatever_is_asked_for_otherwise_is_another_request(otherwise: Callable[[PlaceOrder], PlaceOrder]) -> None:
    other = otherwise(ASKED)
    assert fingerprint_of(other) != fingerprint_of(ASKED)
    assert not is_of(fingerprint_of(ASKED), other.customer_id, other.items)


@pytest.mark.parametrize(
    ("items", "digest"),
    [
        ((BOOK,), "2b4451ea67e256cd3f44bc3f39078ebe706406d938b5e0b5af0c54d5a24e9908"),
        ((BOOK, PEN), "9eea8220846540ec25005b31bb0f72329146ddfc4abd703f7f27f7eab8ae7a7b"),
    ],
)
def test_a_digest_made_by_today_s_code_is_made_by_any_later_code(items: tuple[Line, ...], digest: str) -> None:
    """`sha256sum` of the JSON says the same. When this fails, mend the code: databases hold such digests."""
    assert fingerprint(CUSTOMER, items).hex() == digest


@pytest.mark.parametrize(
    ("items", "digest"),
    [
        ((BOOK,), "38829f3651a6f08fce6c5b17b5bd287b814cd10a0c28d304f87b155c3e501cf1"),
        ((BOOK, PEN), "ade9f060e4ce3ebfd85b286816f66f3c5938fecac7e5f7eb2d462707416bd92c"),
    ],
)
def test_a_digest_made_before_migration_0003_still_verifies(items: tuple[Line, ...], digest: str) -> None:
    assert is_of(bytes.fromhex(digest), CUSTOMER, items)
    assert not is_of(bytes.fromhex(digest), CUSTOMER, (*items, PEN))
    assert not is_of(bytes.fromhex(digest), CUSTOMER, (replace(items[0], price=Decimal("19.98")), *items[1:]))
