from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from uuid import UUID, uuid4

import pytest
from chassis.ports.errors import Rejected
from chassis.testing import received

from domain.events import InventoryReleased, InventoryReserved, InventoryUnavailable, Shortage
from tests.inventory import Inventory
from tests.messages import CUSTOMER, PRICE, TRACEPARENT, completed, order_created, undone

PRODUCT, OTHER = UUID(int=1), UUID(int=2)


async def test_the_stock_of_an_order_is_held_and_announced_under_the_orders_trace(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    [reserved] = await inventory.take_received(received(order, traceparent=TRACEPARENT))
    assert isinstance(reserved.event, InventoryReserved)
    assert (reserved.event.order_id, reserved.event.total_amount) == (order.order_id, order.total_amount)
    assert reserved.traceparent == TRACEPARENT
    assert inventory.quantities(PRODUCT) == (7, 3)


async def test_the_trace_of_an_order_outlives_the_events_that_bear_none(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    [reserved] = await inventory.take_received(received(order))
    [released] = await inventory.take_received(received(undone(order)))
    assert reserved.traceparent == released.traceparent


@pytest.mark.parametrize(
    ("lines", "reason", "shortages"),
    [
        ([(PRODUCT, 1), (OTHER, 3)], "out-of-stock", (Shortage(OTHER, 1),)),
        ([(PRODUCT, 1), (uuid4(), 1)], "unknown-product", ()),
    ],
)
async def test_an_order_with_one_line_that_cannot_be_had_holds_nothing(
    inventory: Inventory, lines: list[tuple[UUID, int]], reason: str, shortages: tuple[Shortage, ...]
) -> None:
    await inventory.stock(PRODUCT, 10)
    await inventory.stock(OTHER, 2)
    order = order_created(*lines)
    assert await inventory.take(order) == [InventoryUnavailable(order.order_id, CUSTOMER, reason, shortages)]
    assert (inventory.quantities(PRODUCT), inventory.quantities(OTHER)) == ((10, 0), (2, 0))


async def test_an_order_at_another_price_than_the_shop_s_holds_nothing(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10, PRICE)
    order = order_created((PRODUCT, 1), price=Decimal("0.01"))
    assert await inventory.take(order) == [InventoryUnavailable(order.order_id, CUSTOMER, "price-changed")]
    assert inventory.quantities(PRODUCT) == (10, 0)


@pytest.mark.parametrize(("trusted", "status"), [(True, "held"), (False, "refused")])
async def test_a_product_without_a_price_sells_at_that_of_an_order_whose_price_is_trusted(
    inventory: Inventory, trusted: bool, status: str
) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 1), price=Decimal("0.01"), price_trusted=trusted)
    await inventory.take(order)
    assert inventory.status(order.order_id) == status


@pytest.mark.parametrize("now", [Decimal("20.00"), None])
async def test_a_price_that_changes_later_changes_no_answer(inventory: Inventory, now: Decimal | None) -> None:
    await inventory.stock(PRODUCT, 10, PRICE)
    held = order_created((PRODUCT, 1), price_trusted=False)
    refused = order_created((PRODUCT, 1), price=Decimal("20.00"), price_trusted=False)
    first = await inventory.take(held, refused)
    await inventory.stock(PRODUCT, 9, now)
    assert await inventory.take(held, refused) == first
    assert inventory.quantities(PRODUCT) == (9, 1)
    await inventory.take(completed(held))
    assert (inventory.status(held.order_id), inventory.quantities(PRODUCT)) == ("sold", (9, 0))


async def test_of_two_orders_for_the_last_piece_the_first_in_the_batch_gets_it(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 1)
    first, second = order_created((PRODUCT, 1)), order_created((PRODUCT, 1))
    events = await inventory.take(first, second)
    assert {event.order_id: type(event) for event in events} == {
        first.order_id: InventoryReserved,
        second.order_id: InventoryUnavailable,
    }
    assert (inventory.status(first.order_id), inventory.status(second.order_id)) == ("held", "refused")
    assert inventory.quantities(PRODUCT) == (0, 1)


async def test_each_order_of_a_batch_hears_what_was_missing_when_its_turn_came(inventory: Inventory) -> None:
    """And hears the same when it asks again, whatever there is by then."""
    await inventory.stock(PRODUCT, 5)
    orders = [order_created((PRODUCT, quantity)) for quantity in (7, 3, 4, 2, 1)]
    events = await inventory.take(*orders)
    missing = {orders[0].order_id: 2, orders[2].order_id: 2, orders[4].order_id: 1}
    refused = [event for event in events if isinstance(event, InventoryUnavailable)]
    assert {event.order_id: event.shortages for event in refused} == {
        order_id: (Shortage(PRODUCT, number),) for order_id, number in missing.items()
    }
    await inventory.stock(PRODUCT, 100)
    repeated = await inventory.take(*(order for order in orders if order.order_id in missing))
    assert sorted(repeated, key=str) == sorted(refused, key=str)


async def test_what_one_order_of_a_batch_gives_back_the_next_can_have(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 1)
    first, second = order_created((PRODUCT, 1)), order_created((PRODUCT, 1))
    await inventory.take(first)
    events = await inventory.take(undone(first), second)
    assert {event.order_id: type(event) for event in events} == {
        first.order_id: InventoryReleased,
        second.order_id: InventoryReserved,
    }
    assert inventory.quantities(PRODUCT) == (0, 1)


async def test_a_completed_order_takes_its_pieces_along(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    await inventory.take(order)
    assert await inventory.take(completed(order)) == []
    assert (inventory.status(order.order_id), inventory.quantities(PRODUCT)) == ("sold", (7, 0))


async def test_an_undone_order_gives_its_pieces_back_and_says_why(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    await inventory.take(order)
    released = InventoryReleased(order.order_id, CUSTOMER, "payment-declined")
    assert await inventory.take(undone(order, "payment-declined")) == [released]
    assert (inventory.status(order.order_id), inventory.quantities(PRODUCT)) == ("released", (10, 0))


async def test_all_of_a_saga_fits_in_one_batch(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    sold, given_back = order_created((PRODUCT, 3)), order_created((PRODUCT, 2))
    await inventory.take(sold, given_back, completed(sold), undone(given_back))
    assert (inventory.status(sold.order_id), inventory.status(given_back.order_id)) == ("sold", "released")
    assert inventory.quantities(PRODUCT) == (7, 0)


async def test_past_its_deadline_an_order_holds_nothing_and_nothing_is_published(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3), expires_at=inventory.now)
    assert await inventory.take(order) == []
    assert (inventory.status(order.order_id), inventory.quantities(PRODUCT)) == ("void", (10, 0))


@pytest.mark.parametrize("batches", [1, 2])
async def test_an_order_undone_before_it_was_heard_of_holds_nothing(inventory: Inventory, batches: int) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    if batches == 1:
        assert await inventory.take(undone(order), order) == []
    else:
        assert await inventory.take(undone(order)) == []
        assert await inventory.take(order) == []
    assert (inventory.status(order.order_id), inventory.quantities(PRODUCT)) == ("void", (10, 0))
    assert len(inventory.unchanged) == 1


async def test_an_order_undone_in_the_batch_that_brought_it_says_both(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    events = await inventory.take(order, undone(order))
    assert [type(event) for event in events] == [InventoryReserved, InventoryReleased]
    assert (inventory.status(order.order_id), inventory.quantities(PRODUCT)) == ("released", (10, 0))


STORIES: dict[str, list[str]] = {
    "held": ["created"],
    "refused": ["created-too-large"],
    "sold": ["created", "completed"],
    "released": ["created", "undone"],
    "void": ["undone"],
}
"""How a reservation gets into each state."""
ANSWERS: dict[tuple[str, str], type] = {
    ("held", "created"): InventoryReserved,
    ("refused", "created"): InventoryUnavailable,
    ("released", "undone"): InventoryReleased,
}
"""What is said again to whom a message shows not to have heard of it."""
LATE = {(status, late) for status in STORIES for late in ("created", "completed", "undone")} - {
    ("held", "completed"),
    ("held", "undone"),
}


@pytest.mark.parametrize(("status", "late"), sorted(LATE))
async def test_what_comes_twice_or_late_changes_nothing_and_is_answered_by_who_has_an_answer(
    inventory: Inventory, status: str, late: str
) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    messages = {
        "created": order,
        "completed": completed(order),
        "undone": undone(order),
        "created-too-large": order_created((PRODUCT, 11), order_id=order.order_id),
    }
    for name in STORIES[status]:
        await inventory.take(messages[name])
    before = inventory.quantities(PRODUCT)
    answer = ANSWERS.get((status, late))
    told = await inventory.take_received(received(messages[late], repeat=True), received(messages[late]))
    assert (inventory.status(order.order_id), inventory.quantities(PRODUCT)) == (status, before)
    assert [(type(one.event), one.repeat) for one in told] == ([(answer, True)] if answer else [])
    assert len(inventory.unchanged) == (1 if answer else 2)
    if answer:
        first = next(one for one in inventory.published if type(one.event) is answer)
        assert told[0].event == first.event
        assert told[0].event_id != first.event_id


async def test_a_message_that_a_batch_holds_twice_takes_effect_once(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    assert len(await inventory.take(order, order)) == 1
    assert inventory.quantities(PRODUCT) == (7, 3)


async def test_the_completion_of_an_order_that_was_never_reserved_is_for_the_dead_letters(inventory: Inventory) -> None:
    order = order_created((PRODUCT, 3))
    with pytest.raises(Rejected, match=str(order.order_id)) as rejected:
        await inventory.take(completed(order))
    assert rejected.value.reason == "unknown-order"
    assert inventory.reservations() == {}


async def test_a_rejected_event_leaves_no_trace_of_its_batch(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    with pytest.raises(Rejected):
        await inventory.take(order, completed(order_created((PRODUCT, 1))))
    assert (inventory.reservations(), inventory.quantities(PRODUCT)) == ({}, (10, 0))
    assert inventory.published == []


@pytest.mark.parametrize("order_of_arrival", list(permutations(["created", "completed", "undone"], 2)))
async def test_no_order_of_arrival_leaves_stock_behind(inventory: Inventory, order_of_arrival: tuple[str, ...]) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    messages = {"created": order, "completed": completed(order), "undone": undone(order)}
    for name in order_of_arrival:
        try:
            await inventory.take(messages[name])
        except Rejected:
            assert name == "completed"
    available, reserved = inventory.quantities(PRODUCT)
    assert available + reserved in (7, 10)


async def test_stock_set_while_pieces_are_held_leaves_them_held(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3))
    await inventory.take(order)
    await inventory.stock(PRODUCT, 0)
    assert inventory.quantities(PRODUCT) == (0, 3)
    await inventory.take(undone(order))
    assert inventory.quantities(PRODUCT) == (3, 0)


async def test_a_reservation_counts_from_the_units_clock(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3), expires_at=inventory.now + timedelta(minutes=15))
    inventory.pass_time(timedelta(minutes=14))
    await inventory.take(order)
    reservation = inventory.reservations()[order.order_id]
    assert reservation.created_at == reservation.updated_at == inventory.item(PRODUCT).updated_at == inventory.now
