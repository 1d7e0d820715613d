"""The digest of a request: of all that was asked for, and the same whatever the code that makes it looks like."""

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from chassis.ports.identity import Principal

from application.fingerprint import _fingerprint_until_0003, fingerprint, given, is_of
from application.place_orders import NOT_ASKED_FOR, PlaceOrder, asked_for
from domain.events import Line
from tests.builders import TRACEPARENT

CUSTOMER = UUID("5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11")
BOOK = Line(UUID("9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01"), 2, Decimal("19.99"))
PEN = Line(UUID("0b9d7b43-7a34-4a0e-9a55-3a0f4a6f9a02"), 1, Decimal("100.00"))
ASKED = PlaceOrder(CUSTOMER, (BOOK, PEN), TRACEPARENT)

OTHERWISE: dict[str, object] = {
    "customer_id": uuid4(),
    "items": (PEN, BOOK),
    "items.product_id": uuid4(),
    "items.quantity": 3,
    "items.price": Decimal("19.98"),
}
ASKED_FOR = [
    *(field.name for field in fields(PlaceOrder) if field.name not in NOT_ASKED_FOR),
    *(f"items.{field.name}" for field in fields(Line)),
]


def otherwise(field: str) -> PlaceOrder:
    """The request with another value of this field; of an optional one that it lacks, any will do."""
    value: Any = OTHERWISE.get(field, "given")
    if field.startswith("items."):
        return replace(ASKED, items=(replace(BOOK, **{field.removeprefix("items."): value}), PEN))
    return replace(ASKED, **{field: value})


def asked(items: tuple[Line, ...]) -> dict[str, Any]:
    return asked_for(PlaceOrder(CUSTOMER, items, TRACEPARENT, "a key"))


@pytest.mark.parametrize("field", ASKED_FOR)
def test_whatever_is_asked_for_otherwise_is_another_request(field: str) -> None:
    digest, other = fingerprint(asked_for(ASKED)), asked_for(otherwise(field))
    assert fingerprint(other) != digest
    assert not is_of(digest, other)


def test_how_a_request_came_is_no_part_of_it() -> None:
    again = replace(
        ASKED,
        traceparent=TRACEPARENT.replace("4", "5"),
        idempotency_key="another",
        caller=Principal("issuer", "me", frozenset({"staff"})),
    )
    assert is_of(fingerprint(asked_for(ASKED)), asked_for(again))


def test_a_field_that_a_request_lacks_is_not_in_its_digest() -> None:
    assert given(ASKED).keys() == {"customer_id", "items", "traceparent", "caller"}


def test_a_request_with_a_field_of_today_has_no_digest_from_before_migration_0003() -> None:
    today = asked((BOOK,))
    before = _fingerprint_until_0003(**today)
    assert is_of(before, today)
    assert not is_of(before, today | {"a_field_of_today": "given"})


@pytest.mark.parametrize(
    ("items", "digest"),
    [
        ((BOOK,), "2b4451ea67e256cd3f44bc3f39078ebe706406d938b5e0b5af0c54d5a24e9908"),
        ((BOOK, PEN), "9eea8220846540ec25005b31bb0f72329146ddfc4abd703f7f27f7eab8ae7a7b"),
    ],
)
def test_a_digest_made_by_today_s_code_is_made_by_any_later_code(items: tuple[Line, ...], digest: str) -> None:
    """`sha256sum` of the JSON says the same. When this fails, mend the code: databases hold such digests."""
    assert fingerprint(asked(items)).hex() == digest


@pytest.mark.parametrize(
    ("items", "digest"),
    [
        ((BOOK,), "38829f3651a6f08fce6c5b17b5bd287b814cd10a0c28d304f87b155c3e501cf1"),
        ((BOOK, PEN), "ade9f060e4ce3ebfd85b286816f66f3c5938fecac7e5f7eb2d462707416bd92c"),
    ],
)
def test_a_digest_made_before_migration_0003_still_verifies(items: tuple[Line, ...], digest: str) -> None:
    assert is_of(bytes.fromhex(digest), asked(items))
    assert not is_of(bytes.fromhex(digest), asked((*items, PEN)))
    assert not is_of(bytes.fromhex(digest), asked((replace(items[0], price=Decimal("19.98")), *items[1:])))
