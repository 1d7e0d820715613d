from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from domain.hold import Demand, Hold, Status

from domain.errors import IllegalTransition
from domain.events import InventoryReleased, InventoryReserved, InventoryUnavailable, Line
from domain.item import Item
from tests.messages import CUSTOMER, PRICE, TRACEPARENT

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DEADLINE = NOW + timedelta(minutes=15)
PRODUCT, OTHER = UUID(int=1), UUID(int=2)


def a_hold(status: Status = Status.NEW) -> Hold:
    demand = None if status in (Status.NEW, Status.VOID) else a_demand((PRODUCT, 2))
    remind_at = NOW + timedelta(minutes=1) if status is Status.HELD else None
    return Hold(uuid4(), CUSTOMER, status, "expired", demand, DEADLINE, None, remind_at, TRACEPARENT, NOW, NOW)


def a_demand(*lines: tuple[UUID, int]) -> Demand:
    return Demand(tuple(Line(product_id, quantity, PRICE) for product_id, quantity in lines), Decimal("39.98"), "USD")


def items(available: int = 10, reserved: int = 5) -> dict[UUID, Item]:
    return {product_id: Item(uuid4(), product_id, available, reserved, NOW, NOW) for product_id in (PRODUCT, OTHER)}


def quantities(stock: dict[UUID, Item]) -> list[tuple[int, int]]:
    return [(item.quantity_available, item.reserved_quantity) for item in stock.values()]


ACTS: dict[str, tuple[set[Status], Callable[[Hold, dict[UUID, Item]], None]]] = {
    "held": ({Status.NEW}, lambda hold, stock: hold.place(a_demand((PRODUCT, 2)), stock, NOW)),
    "refused": ({Status.NEW}, lambda hold, stock: hold.place(a_demand((PRODUCT, 11)), stock, NOW)),
    "void": ({Status.NEW}, lambda hold, stock: hold.void(NOW)),
    "sold": ({Status.HELD}, lambda hold, stock: hold.sell(stock, NOW)),
    "released": ({Status.HELD}, lambda hold, stock: hold.release("expired", stock, NOW)),
}


@pytest.mark.parametrize("wanted", ACTS)
@pytest.mark.parametrize("current", Status)
def test_a_hold_becomes_only_what_its_state_allows(current: Status, wanted: str) -> None:
    allowed, act = ACTS[wanted]
    hold, stock = a_hold(current), items()
    if current in allowed:
        act(hold, stock)
        assert hold.status == wanted
        return
    with pytest.raises(IllegalTransition, match=f"is {current} and can't become {wanted}"):
        act(hold, stock)
    assert (hold.status, hold.events, quantities(stock)) == (current, [], [(10, 5), (10, 5)])


@pytest.mark.parametrize("current", [status for status in Status if status is not Status.HELD])
def test_only_a_held_hold_is_reminded_of(current: Status) -> None:
    hold = a_hold(current)
    hold.remind_at = NOW
    assert hold.remind(NOW) is None
    assert hold.remind_at is None
    assert (hold.status, hold.repeats) == (current, [])


def test_the_same_product_on_two_lines_is_held_as_one_sum() -> None:
    hold, stock = a_hold(), items()
    hold.place(a_demand((PRODUCT, 4), (OTHER, 1), (PRODUCT, 6)), stock, NOW)
    assert quantities(stock) == [(0, 15), (9, 6)]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([(PRODUCT, 2), (OTHER, 11)], "out-of-stock"),
        ([(PRODUCT, 6), (PRODUCT, 5)], "out-of-stock"),
        ([(PRODUCT, 2), (UUID(int=3), 1)], "unknown-product"),
        ([(PRODUCT, 11), (UUID(int=3), 1)], "unknown-product"),
    ],
)
def test_a_hold_is_all_or_nothing(lines: list[tuple[UUID, int]], reason: str) -> None:
    hold, stock = a_hold(), items()
    hold.place(a_demand(*lines), stock, NOW)
    assert (hold.status, hold.reason, hold.due_at, hold.remind_at) == (Status.REFUSED, reason, None, None)
    assert hold.events == [InventoryUnavailable(hold.order_id, CUSTOMER, reason)]
    assert quantities(stock) == [(10, 5), (10, 5)]


def test_a_hold_says_all_that_a_charge_needs_to_know() -> None:
    hold, demand = a_hold(), a_demand((PRODUCT, 2))
    hold.place(demand, items(), NOW)
    assert hold.events == [
        InventoryReserved(hold.order_id, CUSTOMER, demand.items, demand.total_amount, "USD", DEADLINE)
    ]


@pytest.mark.parametrize(("late_by", "status"), [(-1, Status.HELD), (0, Status.VOID), (1, Status.VOID)])
def test_from_its_deadline_on_an_order_holds_nothing_and_says_nothing(late_by: int, status: Status) -> None:
    hold, stock = a_hold(), items()
    hold.place(a_demand((PRODUCT, 2)), stock, DEADLINE + timedelta(microseconds=late_by))
    assert hold.status == status
    if status is Status.VOID:
        assert (hold.events, quantities(stock)) == ([], [(10, 5), (10, 5)])


def test_a_tombstone_is_kept_seven_days_past_the_deadline() -> None:
    hold = a_hold()
    hold.void(NOW)
    assert hold.due_at == DEADLINE + timedelta(days=7)
    assert hold.remind_at is None


def test_what_is_sold_is_gone_and_what_is_released_is_free_again() -> None:
    sold, released, stock = a_hold(Status.HELD), a_hold(Status.HELD), items()
    sold.sell(stock, NOW)
    released.release("expired", stock, NOW)
    assert quantities(stock) == [(12, 1), (10, 5)]
    assert (sold.events, sold.due_at, sold.remind_at) == ([], None, None)
    assert released.events == [InventoryReleased(released.order_id, CUSTOMER, "expired")]
    assert (released.reason, released.due_at, released.remind_at) == ("expired", None, None)


def test_a_hold_asks_after_a_minute_and_then_at_doubling_intervals_of_at_most_an_hour() -> None:
    hold = a_hold()
    hold.place(a_demand((PRODUCT, 2)), items(), NOW)
    [reserved] = hold.events
    hold.events.clear()
    asked_at, waits = NOW, []
    for _ in range(20):
        assert hold.remind_at is not None
        waits.append((hold.remind_at - asked_at) // timedelta(minutes=1))
        asked_at = hold.remind_at
        assert hold.remind(asked_at) == "reservation"
        assert hold.repeats == [reserved]
        hold.repeats.clear()
    assert waits == [1, 2, 4, 8, 16, 32, *[60] * 14]
    assert (hold.status, hold.updated_at) == (Status.HELD, NOW)


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
def test_a_hold_says_again_what_it_has_told_and_once_at_a_time(status: Status, event: type | None) -> None:
    hold = a_hold(status)
    if event is None:
        with pytest.raises(IllegalTransition, match=status):
            hold.repeat()
        return
    assert hold.repeat()
    assert not hold.repeat()
    assert [type(said) for said in hold.repeats] == [event]
    assert getattr(hold.repeats[0], "reason", "expired") == "expired"


def test_what_is_said_for_the_first_time_is_not_said_again_at_once() -> None:
    hold = a_hold()
    hold.place(a_demand((PRODUCT, 2)), items(), NOW)
    assert not hold.repeat()
    assert hold.repeats == []


def test_a_hold_was_never_changed_before_it_was_made() -> None:
    """Its lock is had later than its transaction began, maybe after another one has made the hold."""
    hold = a_hold(Status.HELD)
    hold.release("expired", items(), NOW - timedelta(milliseconds=5))
    assert hold.updated_at == hold.created_at == NOW
