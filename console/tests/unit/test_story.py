"""What became of an order, told by many."""

from application.orders import SeenOrder
from application.story import Told, story
from tests.seen import ORDER, PRODUCT, event, order

TIMELINE = [
    {"at": "2026-11-24T12:00:00Z", "event": "OrderCreated", "status": "pending", "reason": None},
    {"at": "2026-11-24T12:00:02Z", "event": "OrderConfirmed", "status": "confirmed", "reason": None},
    {"at": "2026-11-24T12:00:04Z", "event": "OrderCompleted", "status": "completed", "reason": None},
]


def seen(*names: str) -> SeenOrder:
    found = SeenOrder(ORDER)
    for second, name in enumerate(names):
        found.take(event(name, second=second))
    return found


def names(told: dict[str, object]) -> list[object]:
    steps = told["steps"]
    assert isinstance(steps, list)
    return [step["name"] for step in steps]


def test_what_the_page_saw_is_told_with_the_time_between() -> None:
    found = story(ORDER, seen("OrderCreated", "InventoryReserved"), Told(order("pending")), {})
    assert [(step["name"], step["lane"], step["ms"], step["seen"]) for step in found["steps"]] == [
        ("OrderCreated", "order-service", None, True),
        ("InventoryReserved", "inventory-service", 1000, True),
    ]
    assert (found["status"], found["waits_for"], found["watched"]) == ("pending", "payment-service", True)
    assert found["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_what_the_page_did_not_see_comes_from_the_timeline_once() -> None:
    found = story(ORDER, seen("OrderCreated"), Told(order("confirmed"), TIMELINE[:2]), {})
    assert [(step["name"], step["seen"]) for step in found["steps"]] == [
        ("OrderCreated", True),
        ("OrderConfirmed", False),
    ]


def test_who_did_it_is_told_of_what_the_page_saw_as_of_what_it_did_not() -> None:
    timeline = [TIMELINE[0] | {"by": "https://issuer shop"}, TIMELINE[1], TIMELINE[2] | {"by": "https://issuer clerk"}]
    found = story(ORDER, seen("OrderCreated", "InventoryReserved"), Told(order("confirmed"), timeline), {})
    by = {step["name"]: step["by"] for step in found["steps"]}
    assert (by["OrderCreated"], by["OrderCompleted"]) == ("https://issuer shop", "https://issuer clerk")
    assert (by["InventoryReserved"], by["OrderConfirmed"]) == (None, None)


def test_what_nobody_kept_is_not_recorded_and_stands_where_it_must_have_been() -> None:
    found = story(ORDER, None, Told(order("completed") | {"trace_id": "its own"}, TIMELINE), {})
    assert names(found) == ["OrderCreated", "InventoryReserved", "OrderConfirmed", "PaymentProcessed", "OrderCompleted"]
    assert [step["at"] is None for step in found["steps"]] == [False, True, False, True, False]
    assert (found["watched"], found["trace_id"]) == (False, "its own")
    assert story(ORDER, None, Told(), {})["trace_id"] is None


def test_nothing_is_made_up_for_an_order_that_did_not_complete() -> None:
    timeline = [TIMELINE[0], TIMELINE[2] | {"event": "OrderFailed", "reason": "out-of-stock"}]
    found = story(ORDER, None, Told(order("failed"), timeline), {})
    assert names(found) == ["OrderCreated", "OrderFailed"]
    assert found["steps"][1]["reason"] == "out-of-stock"


def test_repeats_and_duplicates_are_told() -> None:
    order_seen = SeenOrder(ORDER)
    once = event("OrderCreated")
    order_seen.take(once)
    order_seen.take(once)
    found = story(ORDER, order_seen, Told(), {})
    assert [(step["twice"], step["repeat"]) for step in found["steps"]] == [(1, False)]
    assert found["status"] == "pending"


def test_an_order_that_nobody_can_tell_of_has_no_status() -> None:
    found = story(ORDER, None, Told(silent=["order-service"]), {})
    assert (found["status"], found["steps"], found["silent"]) == (None, [], ["order-service"])


def test_stock_before_is_known_only_if_the_page_looked_then() -> None:
    now = {PRODUCT: {"quantity_available": 8, "reserved_quantity": 2}}
    before = {PRODUCT: {"quantity_available": 10, "reserved_quantity": 0}}
    [line] = story(ORDER, None, Told(order(), stock=now), before)["stock"]
    assert (line["before"], line["now"]) == (before[PRODUCT], now[PRODUCT])
    [line] = story(ORDER, None, Told(order()), {})["stock"]
    assert (line["before"], line["now"]) == (None, None)


def test_only_what_was_said_about_this_order_is_shown_oldest_first() -> None:
    notes = [{"message": f"Your order {ORDER} is paid"}, {"message": "of another"}, {"message": f"{ORDER} is placed"}]
    found = story(ORDER, None, Told(order(), notifications=notes), {})
    assert [note["message"] for note in found["notifications"]] == [notes[2]["message"], notes[0]["message"]]
