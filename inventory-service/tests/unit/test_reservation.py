from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from domain.errors import IllegalTransition
from domain.events import InventoryReleased, InventoryReserved, InventoryUnavailable, Line, Shortage
from domain.item import Item
from domain.reservation import Reservation, Status
from tests.messages import CUSTOMER, PRICE, TRACEPARENT

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DEADLINE = NOW + timedelta(minutes=15)
PRODUCT, OTHER = UUID(int=1), UUID(int=2)
AMOUNT = Decimal("39.98")


def a_reservation(status: Status = Status.NEW) -> Reservation:
    """In that state, as it is loaded: without events."""
    reservation = Reservation.new(uuid4(), CUSTOMER, DEADLINE, TRACEPARENT, NOW)
    reservation.status, reservation.reason = status, "expired"
    if status not in (Status.NEW, Status.VOID):
        reservation.items, reservation.total_amount, reservation.currency = some_lines((PRODUCT, 2)), AMOUNT, "USD"
    if status is Status.HELD:
        reservation.remind_at = NOW + timedelta(minutes=1)
    return reservation


def some_lines(*lines: tuple[UUID, int]) -> tuple[Line, ...]:
    return tuple(Line(product_id, quantity, PRICE) for product_id, quantity in lines)


def reserve(
    reservation: Reservation,
    stock: dict[UUID, Item],
    *lines: tuple[UUID, int],
    now: datetime = NOW,
    price_trusted: bool = True,
) -> tuple[Line, ...]:
    wanted = some_lines(*lines)
    reservation.reserve(wanted, AMOUNT, "USD", stock, now, price_trusted=price_trusted)
    return wanted


def items(*, price: Decimal | None = None, other_price: Decimal | None = None) -> dict[UUID, Item]:
    prices = {PRODUCT: price, OTHER: other_price}
    return {product_id: Item(uuid4(), product_id, 10, 5, NOW, NOW, price) for product_id, price in prices.items()}


def quantities(stock: dict[UUID, Item]) -> list[tuple[int, int]]:
    return [(item.quantity_available, item.reserved_quantity) for item in stock.values()]


ACTS: dict[str, tuple[set[Status], Callable[[Reservation, dict[UUID, Item]], object]]] = {
    "held": ({Status.NEW}, lambda reservation, stock: reserve(reservation, stock, (PRODUCT, 2))),
    "refused": ({Status.NEW}, lambda reservation, stock: reserve(reservation, stock, (PRODUCT, 11))),
    "void": ({Status.NEW}, lambda reservation, stock: reservation.void(NOW)),
    "sold": ({Status.HELD}, lambda reservation, stock: reservation.sell(stock, NOW)),
    "released": ({Status.HELD}, lambda reservation, stock: reservation.release("expired", stock, NOW)),
}


@pytest.mark.parametrize("wanted", ACTS)
@pytest.mark.parametrize("current", Status)
def test_a_reservation_becomes_only_what_its_state_allows(current: Status, wanted: str) -> None:
    allowed, act = ACTS[wanted]
    reservation, stock = a_reservation(current), items()
    if current in allowed:
        act(reservation, stock)
        assert reservation.status == wanted
        return
    with pytest.raises(IllegalTransition, match=f"is {current} and can't become {wanted}"):
        act(reservation, stock)
    assert (reservation.status, reservation.events, quantities(stock)) == (current, [], [(10, 5), (10, 5)])


@pytest.mark.parametrize("current", [status for status in Status if status is not Status.HELD])
def test_only_a_held_reservation_is_reminded_of(current: Status) -> None:
    reservation = a_reservation(current)
    reservation.remind_at = NOW
    assert reservation.remind(NOW) is None
    assert reservation.remind_at is None
    assert (reservation.status, reservation.repeats) == (current, [])


def test_the_same_product_on_two_lines_is_held_as_one_sum() -> None:
    reservation, stock = a_reservation(), items()
    reserve(reservation, stock, (PRODUCT, 4), (OTHER, 1), (PRODUCT, 6))
    assert quantities(stock) == [(0, 15), (9, 6)]


@pytest.mark.parametrize(
    ("lines", "reason", "missing"),
    [
        ([(PRODUCT, 2), (OTHER, 11)], "out-of-stock", {OTHER: 1}),
        ([(PRODUCT, 6), (PRODUCT, 5)], "out-of-stock", {PRODUCT: 1}),
        ([(PRODUCT, 10), (OTHER, 10_000), (PRODUCT, 10)], "out-of-stock", {PRODUCT: 10, OTHER: 9_990}),
        ([(PRODUCT, 2), (UUID(int=3), 1)], "unknown-product", {}),
        ([(PRODUCT, 11), (UUID(int=3), 1)], "unknown-product", {}),
    ],
)
def test_a_reservation_is_all_or_nothing_and_says_what_was_missing(
    lines: list[tuple[UUID, int]], reason: str, missing: dict[UUID, int]
) -> None:
    reservation, stock = a_reservation(), items()
    reserve(reservation, stock, *lines)
    assert (reservation.status, reservation.reason) == (Status.REFUSED, reason)
    assert (reservation.due_at, reservation.remind_at) == (None, None)
    shortages = tuple(Shortage(product_id, number) for product_id, number in missing.items())
    assert reservation.events == [InventoryUnavailable(reservation.order_id, CUSTOMER, reason, shortages)]
    assert reservation.shortages == shortages
    assert quantities(stock) == [(10, 5), (10, 5)]


SAME, ANOTHER = Decimal("19.990"), Decimal("20")
UNKNOWN = UUID(int=3)


@pytest.mark.parametrize(
    ("price", "other_price", "trusted", "lines", "reason"),
    [
        (SAME, SAME, True, [(PRODUCT, 2), (OTHER, 1)], None),
        (SAME, None, True, [(PRODUCT, 2), (OTHER, 1)], None),
        (SAME, SAME, False, [(PRODUCT, 2), (OTHER, 1)], None),
        (SAME, ANOTHER, True, [(PRODUCT, 2)], None),
        (SAME, None, False, [(PRODUCT, 2)], None),
        (ANOTHER, SAME, True, [(PRODUCT, 2), (OTHER, 1)], "price-changed"),
        (SAME, ANOTHER, True, [(PRODUCT, 2), (OTHER, 1)], "price-changed"),
        (SAME, None, False, [(PRODUCT, 2), (OTHER, 1)], "no-price"),
        (None, SAME, False, [(PRODUCT, 2), (OTHER, 1)], "no-price"),
        # Of several reasons the first of these is told: unknown-product, price-changed, no-price, out-of-stock.
        (ANOTHER, None, False, [(PRODUCT, 11), (OTHER, 11), (UNKNOWN, 1)], "unknown-product"),
        (None, ANOTHER, False, [(PRODUCT, 11), (OTHER, 11)], "price-changed"),
        (SAME, None, False, [(PRODUCT, 11), (OTHER, 11)], "no-price"),
        (SAME, None, True, [(PRODUCT, 11), (OTHER, 11)], "out-of-stock"),
    ],
)
def test_only_the_shop_or_somebody_it_trusts_names_the_price(
    price: Decimal | None, other_price: Decimal | None, trusted: bool, lines: list[tuple[UUID, int]], reason: str | None
) -> None:
    reservation, stock = a_reservation(), items(price=price, other_price=other_price)
    reserve(reservation, stock, *lines, price_trusted=trusted)
    if reason is None:
        assert (reservation.status, reservation.reason) == (Status.HELD, None)
        return
    assert (reservation.status, reservation.reason) == (Status.REFUSED, reason)
    shortages = (Shortage(PRODUCT, 1), Shortage(OTHER, 1)) if reason == "out-of-stock" else ()
    assert reservation.events == [InventoryUnavailable(reservation.order_id, CUSTOMER, reason, shortages)]
    assert quantities(stock) == [(10, 5), (10, 5)]


def test_each_line_of_a_product_must_have_its_price() -> None:
    reservation, stock = a_reservation(), items(price=PRICE)
    lines = (Line(PRODUCT, 1, PRICE), Line(PRODUCT, 1, ANOTHER))
    reservation.reserve(lines, AMOUNT, "USD", stock, NOW, price_trusted=True)
    assert (reservation.status, reservation.reason) == (Status.REFUSED, "price-changed")


def test_a_reservation_says_all_that_a_charge_needs_to_know() -> None:
    reservation = a_reservation()
    lines = reserve(reservation, items(), (PRODUCT, 2))
    assert reservation.events == [InventoryReserved(reservation.order_id, CUSTOMER, lines, AMOUNT, "USD", DEADLINE)]


@pytest.mark.parametrize(("late_by", "status"), [(-1, Status.HELD), (0, Status.VOID), (1, Status.VOID)])
def test_from_its_deadline_on_an_order_holds_nothing_and_says_nothing(late_by: int, status: Status) -> None:
    reservation, stock = a_reservation(), items()
    reserve(reservation, stock, (PRODUCT, 2), now=DEADLINE + timedelta(microseconds=late_by))
    assert reservation.status == status
    if status is Status.VOID:
        assert (reservation.events, quantities(stock)) == ([], [(10, 5), (10, 5)])


def test_a_tombstone_is_kept_seven_days_past_the_deadline() -> None:
    reservation = a_reservation()
    reservation.void(NOW)
    assert reservation.due_at == DEADLINE + timedelta(days=7)
    assert reservation.remind_at is None


def test_what_is_sold_is_gone_and_what_is_released_is_free_again() -> None:
    sold, released, stock = a_reservation(Status.HELD), a_reservation(Status.HELD), items()
    sold.sell(stock, NOW)
    released.release("expired", stock, NOW)
    assert quantities(stock) == [(12, 1), (10, 5)]
    assert (sold.events, sold.due_at, sold.remind_at) == ([], None, None)
    assert released.events == [InventoryReleased(released.order_id, CUSTOMER, "expired")]
    assert (released.reason, released.due_at, released.remind_at) == ("expired", None, None)


def test_a_reservation_asks_after_a_minute_and_then_at_doubling_intervals_of_at_most_an_hour() -> None:
    reservation = a_reservation()
    reserve(reservation, items(), (PRODUCT, 2))
    [reserved] = reservation.events
    reservation.events.clear()
    asked_at, waits = NOW, []
    for _ in range(20):
        assert reservation.remind_at is not None
        waits.append((reservation.remind_at - asked_at) // timedelta(minutes=1))
        asked_at = reservation.remind_at
        assert reservation.remind(asked_at) == "reservation"
        assert reservation.repeats == [reserved]
        reservation.repeats.clear()
    assert waits == [1, 2, 4, 8, 16, 32, *[60] * 14]
    assert (reservation.status, reservation.updated_at) == (Status.HELD, NOW)


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (Status.HELD, InventoryReserved),
        (Status.REFUSED, InventoryUnavailable),
        (Status.RELEASED, InventoryReleased),
        (Status.SOLD, None),
        (Status.VOID, None),
        (Status.NEW, None),
    ],
)
def test_a_reservation_says_again_what_it_has_told_and_once_at_a_time(status: Status, event: type | None) -> None:
    reservation = a_reservation(status)
    if event is None:
        with pytest.raises(IllegalTransition, match=status):
            reservation.repeat()
        return
    assert reservation.repeat()
    assert not reservation.repeat()
    assert [type(said) for said in reservation.repeats] == [event]
    assert getattr(reservation.repeats[0], "reason", "expired") == "expired"


def test_what_is_said_for_the_first_time_is_not_said_again_at_once() -> None:
    reservation = a_reservation()
    reserve(reservation, items(), (PRODUCT, 2))
    assert not reservation.repeat()
    assert reservation.repeats == []


def test_a_reservation_was_never_changed_before_it_was_made() -> None:
    """Its lock is had later than its transaction began, maybe after another one has added it."""
    reservation = a_reservation(Status.HELD)
    reservation.release("expired", items(), NOW - timedelta(milliseconds=5))
    assert reservation.updated_at == reservation.created_at == NOW


def test_a_reservation_says_when_it_was_changed_last() -> None:
    reservation, stock = a_reservation(), items()
    reserve(reservation, stock, (PRODUCT, 1), now=NOW + timedelta(seconds=1))
    assert reservation.updated_at == NOW + timedelta(seconds=1)
    reservation.sell(stock, NOW + timedelta(seconds=2))
    assert reservation.updated_at == NOW + timedelta(seconds=2)
