"""The order's rules, and its state machine over the whole matrix of acts and states."""

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from chassis.ports.ids import uuid7

from domain.errors import IllegalTransition, InvalidOrder
from domain.events import (
    Line,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderCreated,
    OrderEvent,
    OrderFailed,
)
from domain.order import FINAL, MAX_TOTAL, Order, Status, TimelineEntry
from tests.builders import NOON, Act, an_order, bring, fail, line, order_in, refuse

LATER = NOON + timedelta(minutes=1)
WANTED: dict[Act, Status] = {
    Order.confirm: Status.CONFIRMED,
    Order.complete: Status.COMPLETED,
    fail: Status.FAILED,
    refuse: Status.FAILED,
    Order.expire: Status.FAILED,
    Order.cancel: Status.CANCELLED,
}
LEGAL: dict[tuple[Status, Act], list[type[OrderEvent]]] = {
    (Status.PENDING, Order.confirm): [OrderConfirmed],
    (Status.PENDING, Order.complete): [OrderConfirmed, OrderCompleted],
    (Status.PENDING, fail): [OrderFailed],
    (Status.PENDING, refuse): [OrderFailed],
    (Status.PENDING, Order.expire): [OrderFailed],
    (Status.PENDING, Order.cancel): [OrderCancelled],
    (Status.CONFIRMED, Order.complete): [OrderCompleted],
    (Status.CONFIRMED, fail): [OrderFailed],
    (Status.CONFIRMED, refuse): [OrderFailed],
    (Status.CONFIRMED, Order.expire): [OrderFailed],
    (Status.CONFIRMED, Order.cancel): [OrderCancelled],
    (Status.CANCELLED, Order.cancel): [],
}
ILLEGAL = [(status, act) for status in Status for act in WANTED if (status, act) not in LEGAL]


def state_of(order: Order) -> dict[str, object]:
    return asdict(order)


@pytest.mark.parametrize(("status", "act"), LEGAL)
def test_a_legal_transition_tells_what_happened(status: Status, act: Act) -> None:
    order = order_in(status)
    entries_before = order.timeline

    act(order, LATER)

    assert order.status is WANTED[act]
    assert [type(event) for event in order.events] == LEGAL[status, act]
    added = order.timeline[len(entries_before) :]
    assert order.timeline[: len(entries_before)] == entries_before
    assert [(entry.at, entry.event) for entry in added] == [(LATER, event.name) for event in order.events]
    assert order.updated_at == order.timeline[-1].at


@pytest.mark.parametrize(("status", "act"), ILLEGAL)
def test_an_illegal_transition_names_both_states_and_changes_nothing(status: Status, act: Act) -> None:
    order = order_in(status)
    before = state_of(order)

    with pytest.raises(IllegalTransition, match=f"is {status} and can't become {WANTED[act]}"):
        act(order, LATER)

    assert state_of(order) == before


def test_the_matrix_is_whole() -> None:
    assert len(LEGAL) + len(ILLEGAL) == len(Status) * len(WANTED) == 30


def test_a_new_order_is_pending_and_tells_all_that_others_need() -> None:
    lines = (line("19.99", 2), line("5.50", 1))
    order = an_order(*lines, expires_after=timedelta(minutes=15))

    assert order.status is Status.PENDING
    assert not order.is_final
    assert order.events == [
        OrderCreated(order.id, order.customer_id, lines, Decimal("45.48"), "USD", NOON + timedelta(minutes=15))
    ]
    assert order.timeline == (TimelineEntry(NOON, "OrderCreated", "pending", None),)
    assert (order.created_at, order.updated_at, order.reason) == (NOON, NOON, None)


@pytest.mark.parametrize(
    ("lines", "total"),
    [
        ([("0.01", 1)], "0.01"),
        ([("0.1", 3)], "0.30"),
        ([("19.99", 10_000), ("0.01", 1)], "199900.01"),
        ([("1E+2", 3)], "300.00"),
        ([("9999999999.99", 1)], "9999999999.99"),
    ],
)
def test_the_total_is_exact_and_has_two_decimals(lines: list[tuple[str, int]], total: str) -> None:
    order = an_order(*[line(price, quantity) for price, quantity in lines])
    assert str(order.total_amount) == total


def test_the_same_product_may_be_on_two_lines() -> None:
    twice = line("1.00", 1)
    order = an_order(twice, twice)
    assert (order.items, order.total_amount) == ((twice, twice), Decimal("2.00"))


@pytest.mark.parametrize("lines", [[("9999999999.99", 1), ("0.01", 1)], [("9999999999.99", 10_000)]])
def test_an_order_beyond_the_largest_total_is_refused(lines: list[tuple[str, int]]) -> None:
    with pytest.raises(InvalidOrder, match=str(MAX_TOTAL)):
        an_order(*[line(price, quantity) for price, quantity in lines])


def test_an_order_without_lines_is_refused() -> None:
    no_lines: list[Line] = []
    with pytest.raises(InvalidOrder, match="at least one line"):
        Order.place(
            uuid7(),
            uuid4(),
            no_lines,
            currency="USD",
            expires_after=timedelta(minutes=15),
            traceparent="",
            now=NOON,
        )


def test_an_order_paid_before_its_hold_was_heard_of_is_confirmed_on_the_way() -> None:
    order = an_order()
    order.complete(LATER)
    assert [entry.status for entry in order.timeline] == ["pending", "confirmed", "completed"]


def test_a_failed_order_says_why_everywhere() -> None:
    order = order_in(Status.CONFIRMED)
    order.fail("payment-declined", LATER)
    assert order.reason == "payment-declined"
    assert order.timeline[-1] == TimelineEntry(LATER, "OrderFailed", "failed", "payment-declined")
    assert order.events == [OrderFailed(order.id, order.customer_id, "payment-declined", order.expires_at)]


def test_a_cancelled_order_stays_as_it_is_when_cancelled_again() -> None:
    order = order_in(Status.CANCELLED)
    before = state_of(order)
    order.cancel(LATER)
    assert state_of(order) == before


@pytest.mark.parametrize("status", list(Status))
def test_a_compensation_is_noted_once_and_changes_nothing_else(status: Status) -> None:
    order = order_in(status)
    before = state_of(order)
    entries = order.timeline

    assert order.record_compensation("InventoryReleased", "cancelled-by-customer", LATER)
    assert not order.record_compensation("InventoryReleased", "payment-declined", LATER + timedelta(seconds=1))

    assert order.timeline == (*entries, TimelineEntry(LATER, "InventoryReleased", status, "cancelled-by-customer"))
    after = state_of(order)
    assert after == before | {name: after[name] for name in ("timeline", "remind_at")} | {"updated_at": LATER}


def test_each_kind_of_compensation_has_a_line_of_its_own() -> None:
    order = order_in(Status.CANCELLED)
    assert order.record_compensation("InventoryReleased", "cancelled-by-customer", LATER)
    assert order.record_compensation("PaymentRefunded", "cancelled-by-customer", LATER)


@pytest.mark.parametrize("act", [Order.complete, fail, refuse, Order.expire, Order.cancel])
def test_a_decision_said_again_is_the_first_one(act: Act) -> None:
    order = order_in(Status.PENDING)
    act(order, LATER)
    assert not order.repeat_decision(), "it is being said for the first time"
    decision = order.events.pop()
    order.events.clear()
    assert order.repeat_decision()
    assert not order.repeat_decision(), "once is enough"
    assert order.repeats == [decision]


@pytest.mark.parametrize("status", sorted(set(Status) - FINAL))
def test_an_open_order_has_no_decision(status: Status) -> None:
    with pytest.raises(IllegalTransition, match=status):
        order_in(status).repeat_decision()


@pytest.mark.parametrize("status", list(Status))
def test_an_order_as_placed_is_the_one_of_the_first_answer(status: Status) -> None:
    order = an_order()
    first_answer = state_of(order) | {"events": []}
    bring(order, status)
    assert state_of(order.as_placed()) | {"remind_at": order.created_at} == first_answer | {
        "remind_at": order.created_at
    }


@pytest.mark.parametrize("late", [Order.complete, fail, refuse, Order.expire, Order.cancel])
def test_a_timeline_never_runs_backwards(late: Act) -> None:
    """Whoever has the lock later may have begun earlier, and `now` is when a transaction began."""
    order = order_in(Status.PENDING)
    order.confirm(LATER)
    late(order, LATER - timedelta(milliseconds=5))
    order.record_compensation("InventoryReleased", "expired", LATER - timedelta(milliseconds=9))
    moments = [entry.at for entry in order.timeline]
    assert moments == sorted(moments)
    assert order.updated_at == LATER == moments[-1]
