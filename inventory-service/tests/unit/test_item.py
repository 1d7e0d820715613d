from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from domain.errors import StockOutOfBounds
from domain.item import MAX_AVAILABLE, Item, StockChange

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


def an_item(available: int, reserved: int) -> Item:
    return Item(uuid4(), uuid4(), available, reserved, NOW, NOW)


@pytest.mark.parametrize(
    ("act", "quantity", "available", "reserved"),
    [
        ("reserve", 4, 6, 9),
        ("reserve", 10, 0, 15),
        ("sell", 4, 10, 1),
        ("sell", 5, 10, 0),
        ("release", 4, 14, 1),
        ("release", 5, 15, 0),
    ],
)
def test_pieces_move_between_free_reserved_and_gone(act: str, quantity: int, available: int, reserved: int) -> None:
    item = an_item(10, 5)
    getattr(item, act)(quantity, LATER)
    assert (item.quantity_available, item.reserved_quantity) == (available, reserved)
    assert item.updated_at == LATER


@pytest.mark.parametrize(("act", "quantity"), [("reserve", 11), ("sell", 6), ("release", 6)])
def test_nothing_can_be_less_than_nothing(act: str, quantity: int) -> None:
    item = an_item(10, 5)
    with pytest.raises(ValueError, match=str(item.product_id)):
        getattr(item, act)(quantity, LATER)
    assert (item.quantity_available, item.reserved_quantity) == (10, 5)
    assert item.updated_at == NOW


@pytest.mark.parametrize("quantity", [0, 3, 1_000_000_000])
def test_setting_what_is_free_leaves_what_is_reserved(quantity: int) -> None:
    item = an_item(10, 5)
    item.set_available(quantity, LATER)
    assert (item.quantity_available, item.reserved_quantity) == (quantity, 5)
    assert item.updated_at == LATER


@pytest.mark.parametrize(
    ("available", "difference", "after"),
    [
        (10, 5, 15),
        (10, -10, 0),
        (0, MAX_AVAILABLE, MAX_AVAILABLE),
        (MAX_AVAILABLE - 1, 1, MAX_AVAILABLE),
        (MAX_AVAILABLE + 7, -5, MAX_AVAILABLE + 2),  # orders gave back what was set once more meanwhile
        (10, -11, None),
        (0, -1, None),
        (1, MAX_AVAILABLE, None),
        (MAX_AVAILABLE + 7, 1, None),
    ],
)
def test_a_difference_leads_neither_below_nothing_nor_beyond_the_most(
    available: int, difference: int, after: int | None
) -> None:
    item, change_id = an_item(available, 5), uuid4()
    if after is None:
        with pytest.raises(StockOutOfBounds, match=str(available)):
            item.change_available(change_id, difference, LATER)
        assert (item.quantity_available, item.revision, item.updated_at) == (available, 0, NOW)
        return
    change = item.change_available(change_id, difference, LATER)
    assert (item.quantity_available, item.reserved_quantity, item.updated_at) == (after, 5, LATER)
    assert change == StockChange(change_id, item.product_id, difference, after, LATER)
    assert change.due_at == LATER + timedelta(days=7)


def test_only_people_revise_an_item() -> None:
    item = an_item(10, 5)
    item.reserve(2, LATER)
    item.release(1, LATER)
    item.sell(1, LATER)
    assert item.revision == 0
    item.set_available(7, LATER)
    item.set_available(7, LATER)
    assert item.revision == 2
    item.change_available(uuid4(), 1, LATER)
    assert item.revision == 3
    item.set_price(Decimal(1), LATER)
    assert item.revision == 4


PRICES = [Decimal("19.99"), Decimal("20.00"), None]


@pytest.mark.parametrize("after", PRICES)
@pytest.mark.parametrize("before", PRICES)
def test_a_price_is_as_old_as_its_last_change(before: Decimal | None, after: Decimal | None) -> None:
    item = an_item(10, 5)
    item.price, item.priced_at = before, None if before is None else NOW
    unchanged_since = item.priced_at
    item.set_price(after, LATER)
    assert item.price == after
    assert item.priced_at == (unchanged_since if before == after else LATER)
    assert item.updated_at == (NOW if before == after else LATER)


def test_a_price_never_seems_older_than_what_was_reserved_before_it() -> None:
    """Its transaction may have begun before that of the reservation, and then have waited for the item's lock."""
    item = an_item(10, 5)
    item.reserve(1, LATER)
    item.set_price(Decimal("19.99"), NOW)
    assert item.priced_at == item.updated_at == LATER
    item.set_available(1, NOW)
    item.release(1, NOW)
    assert item.updated_at == LATER


@pytest.mark.parametrize(("quantity", "missing"), [(9, 0), (10, 0), (11, 1), (10_000, 9_990)])
def test_the_last_piece_can_be_had_and_one_more_is_missing(quantity: int, missing: int) -> None:
    assert an_item(10, 5).missing(quantity) == missing
