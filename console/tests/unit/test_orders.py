"""The orders that were seen: bounded, whatever comes twice, late or not at all."""

import random

import pytest

from application.events import INVENTORY, PAYMENT
from application.orders import MOST_EVENTS, Orders
from tests.seen import ORDER, event

WAY = ("OrderCreated", "InventoryReserved", "OrderConfirmed", "PaymentProcessed", "OrderCompleted")


def completed(orders: Orders, order_id: str = ORDER) -> None:
    for second, name in enumerate(WAY):
        orders.take(event(name, order_id, second=second))


def test_an_order_is_the_same_whatever_the_order_of_its_events() -> None:
    events = [event(name, second=second, total_amount=5) for second, name in enumerate(WAY)]
    for seed in range(20):
        orders = Orders()
        for each in random.Random(seed).sample(events, len(events)):
            orders.take(each)
        order = orders.get(ORDER)
        assert order is not None
        assert [known.name for known in order.in_order()] == [*WAY]
        assert (order.status, order.waits_for, order.complete, order.amount) == ("completed", "", True, 5)


def test_an_event_that_comes_twice_is_counted_and_not_added() -> None:
    orders = Orders()
    once = event("OrderCreated")
    for _ in range(3):
        orders.take(once)
    order = orders.get(ORDER)
    assert order is not None
    assert (len(order.events), order.twice[once.id]) == (1, 2)


def test_an_order_first_seen_midway_is_not_complete() -> None:
    orders = Orders()
    orders.take(event("PaymentProcessed"))
    order = orders.get(ORDER)
    assert order is not None
    assert not order.complete
    orders.take(event("OrderCompleted", second=1))
    assert not orders.durations


def test_the_time_to_completed_is_noted_once() -> None:
    orders = Orders()
    completed(orders)
    orders.take(event("OrderCompleted", second=9))
    assert [took for _, took in orders.durations] == [4.0]


def test_finished_orders_are_forgotten_before_waiting_ones() -> None:
    orders = Orders(most=10)
    orders.take(event("OrderCreated", "waiting"))
    for number in range(30):
        completed(orders, f"order {number}")
    assert len(orders) == 10
    assert orders.get("waiting") is not None
    assert orders.get("order 29") is not None
    assert orders.get("order 3") is None


def test_of_waiting_orders_the_longest_unmoved_is_forgotten_first() -> None:
    orders = Orders(most=3)
    for number in range(3):
        orders.take(event("OrderCreated", str(number)))
    orders.take(event("InventoryReserved", "0", second=1))
    orders.take(event("OrderCreated", "new"))
    assert [orders.get(name) is None for name in ("0", "1", "2", "new")] == [False, True, False, False]


def test_the_events_of_an_order_are_bounded() -> None:
    orders = Orders()
    for second in range(2 * MOST_EVENTS):
        orders.take(event("OrderCreated", second=second % 60))
    order = orders.get(ORDER)
    assert order is not None
    assert len(order.events) == MOST_EVENTS


def test_each_lane_has_the_orders_whose_turn_is_there() -> None:
    orders = Orders()
    orders.take(event("OrderCreated", "a"))
    orders.take(event("OrderCreated", "b"))
    orders.take(event("InventoryReserved", "b", second=1))
    completed(orders, "c")
    assert [order.id for order in orders.waiting(INVENTORY)] == ["a"]
    assert [order.id for order in orders.waiting(PAYMENT)] == ["b"]


@pytest.mark.parametrize("number", [1, 3])
def test_the_newest_orders_are_those_placed_last(number: int) -> None:
    orders = Orders()
    for second, name in enumerate("abc"):
        orders.take(event("OrderCreated", name, second=second))
    orders.take(event("InventoryReserved", "a", second=9))
    assert [order.id for order in orders.recent(number)] == ["c", "b", "a"][:number]


def test_who_is_no_longer_followed_does_not_seem_to_wait() -> None:
    orders = Orders()
    orders.take(event("OrderCreated", "a"))
    orders.take(event("OrderCreated", "b"))
    completed(orders, "c")
    orders.keep(lambda order_id: order_id == "b")
    assert {order.id for order in orders} == {"b", "c"}
