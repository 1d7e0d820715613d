"""Placing orders: what is taken, what is refused, and what a second request under one key gets."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from chassis.ports.identity import UNCHECKED, Principal, Role

from application.cancel_orders import CancelOrder, cancel_orders
from application.place_orders import Placed, PlaceOrder, PlaceOrders
from domain.errors import IdempotencyKeyReused, InvalidOrder, TooManyOpenOrders
from domain.events import Line, OrderCreated
from domain.order import Status
from infrastructure.unit_of_work import ORDERS, PostgresOrders
from tests.builders import NOON, TRACEPARENT
from tests.running import OrderUnits, ask_again

LIMIT = 3
place_orders = PlaceOrders(currency="EUR", expires_after=timedelta(minutes=15), max_open_orders=LIMIT)


CUSTOMER, PRODUCT = uuid4(), uuid4()


def command(key: str | None = None, *, price: str = "19.99", customer: UUID = CUSTOMER) -> PlaceOrder:
    return PlaceOrder(customer, (Line(PRODUCT, 2, Decimal(price)),), TRACEPARENT, key)


def too_dear(key: str | None = None) -> PlaceOrder:
    return command(key, price="9999999999.99")


async def placed(units: OrderUnits, *commands: PlaceOrder) -> list[Placed]:
    results = await units.run(place_orders, commands)
    return [result for result in results if isinstance(result, Placed)]


async def test_an_accepted_order_is_kept_and_told(units: OrderUnits) -> None:
    asked = command()
    [result] = await placed(units, asked)

    order = result.order
    assert not result.replayed
    assert (order.customer_id, order.items, order.currency) == (asked.customer_id, asked.items, "EUR")
    assert (order.status, order.created_at, order.expires_at) == (Status.PENDING, NOON, NOON + timedelta(minutes=15))
    assert units.kept(ORDERS)[order.id].timeline == order.timeline
    [told] = units.published
    assert told.event == OrderCreated(
        order.id, asked.customer_id, asked.items, order.total_amount, "EUR", order.expires_at
    )
    assert told.traceparent == TRACEPARENT
    assert told.event_id != order.id  # that one is the decision's


@pytest.mark.parametrize(
    ("roles", "trusted"), [(None, True), ({"staff"}, True), ({"service", "customer"}, True), ({"customer"}, False)]
)
async def test_a_customer_may_not_name_a_price_which_is_told_with_the_order_and_whenever_it_asks_again(
    units: OrderUnits, roles: set[Role] | None, trusted: bool
) -> None:
    asked = command()
    caller = UNCHECKED if roles is None else Principal("issuer", "me", frozenset(roles), asked.customer_id)
    await placed(units, replace(asked, caller=caller))
    units.now += timedelta(minutes=1)
    await units.run(ask_again)
    first, again = units.published
    assert isinstance(first.event, OrderCreated)
    assert first.event.price_trusted is trusted
    assert (again.event, again.repeat) == (first.event, True)


async def test_each_order_of_a_batch_is_answered_in_its_place(units: OrderUnits) -> None:
    commands = [command(customer=uuid4()), too_dear(), command(customer=uuid4())]
    first, refused, last = await units.run(place_orders, commands)

    assert isinstance(first, Placed)
    assert isinstance(refused, InvalidOrder)
    assert isinstance(last, Placed)
    assert [first.order.customer_id, last.order.customer_id] == [commands[0].customer_id, commands[2].customer_id]
    assert [event.order_id for event in units.events] == [first.order.id, last.order.id]


async def test_without_a_key_the_same_request_makes_another_order(units: OrderUnits) -> None:
    asked = command()
    first, second = await placed(units, asked, asked)
    assert first.order.id != second.order.id
    assert len(units.events) == 2


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
async def test_the_same_key_and_body_make_one_order(units: OrderUnits, together: bool) -> None:
    first, second = command("key"), command("key")
    if together:
        results = await placed(units, first, second)
    else:
        results = [*await placed(units, first), *await placed(units, second)]

    assert [result.replayed for result in results] == [False, True]
    assert results[0].order.id == results[1].order.id
    assert len(units.events) == 1


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
async def test_the_same_key_with_another_body_is_refused(units: OrderUnits, together: bool) -> None:
    first, second = command("key"), command("key", price="20.00")
    if together:
        results = await units.run(place_orders, [first, second])
    else:
        results = [*await units.run(place_orders, [first]), *await units.run(place_orders, [second])]

    assert isinstance(results[0], Placed)
    assert isinstance(results[1], IdempotencyKeyReused)
    assert len(units.events) == 1


async def test_a_replay_gives_the_first_answer_though_the_order_went_on(units: OrderUnits) -> None:
    [first] = await placed(units, command("key"))
    answered = first.order.as_placed()
    units.now += timedelta(minutes=1)
    await units.run(cancel_orders, [CancelOrder(answered.id)])

    [again] = await placed(units, command("key"))

    assert again.replayed
    assert (again.order.status, again.order.reason, again.order.updated_at) == (Status.PENDING, None, NOON)
    assert again.order.timeline == answered.timeline


async def test_a_refused_order_claims_no_key(units: OrderUnits) -> None:
    [refused] = await units.run(place_orders, [too_dear("key")])
    assert isinstance(refused, InvalidOrder)
    assert units.server.keys == {}

    [result] = await placed(units, command("key"))
    assert not result.replayed


async def test_a_refused_order_leaves_its_key_to_the_next_of_the_batch(units: OrderUnits) -> None:
    refused, accepted = await units.run(place_orders, [too_dear("key"), command("key")])
    assert isinstance(refused, InvalidOrder)
    assert isinstance(accepted, Placed)
    assert not accepted.replayed


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
async def test_the_same_key_of_another_customer_is_another_key(units: OrderUnits, together: bool) -> None:
    ours, theirs = command("key"), command("key", customer=uuid4())
    batches = [[ours, theirs, ours]] if together else [[ours], [theirs], [ours]]
    results = [result for batch in batches for result in await placed(units, *batch)]

    assert [result.replayed for result in results] == [False, False, True]
    assert [result.order.customer_id for result in results] == [ours.customer_id, theirs.customer_id, ours.customer_id]
    assert len(units.events) == 2


async def test_keys_are_apart(units: OrderUnits) -> None:
    results = await placed(units, command("one"), command("two"), command(None))
    assert [result.replayed for result in results] == [False, False, False]
    assert len({result.order.id for result in results}) == 3


def kinds(results: Sequence[object]) -> list[type]:
    return [type(result) for result in results]


@pytest.mark.parametrize("batches", [[7], [1] * 7, [2, 2, 3]], ids=str)
async def test_a_customer_has_no_more_open_orders_than_the_limit_however_they_come(
    units: OrderUnits, batches: list[int]
) -> None:
    other = uuid4()
    results: list[object] = []
    for size in batches:
        results += (await units.run(place_orders, [*[command()] * size, command(customer=other)]))[:-1]
    assert kinds(results) == [Placed] * 3 + [TooManyOpenOrders] * 4
    assert len([event for event in units.events if event.customer_id == CUSTOMER]) == LIMIT
    assert len([event for event in units.events if event.customer_id == other]) == min(len(batches), LIMIT)


async def test_an_order_that_is_final_makes_room_for_another(units: OrderUnits) -> None:
    first, *_ = await placed(units, *[command()] * LIMIT)
    assert await placed(units, command()) == []
    await units.run(cancel_orders, [CancelOrder(first.order.id)])
    assert kinds(await units.run(place_orders, [command()] * 2)) == [Placed, TooManyOpenOrders]


async def test_at_the_limit_a_key_still_gets_its_first_answer(units: OrderUnits) -> None:
    [first, *_] = await placed(units, command("key"), *[command()] * (LIMIT - 1))
    again, refused = await units.run(place_orders, [command("key"), command()])
    assert isinstance(again, Placed)
    assert (again.replayed, again.order.id) == (True, first.order.id)
    assert isinstance(refused, TooManyOpenOrders)
    assert kinds(await units.run(place_orders, [command("key", price="20.00")])) == [IdempotencyKeyReused]


async def test_a_replay_takes_no_other_order_s_place(units: OrderUnits) -> None:
    await placed(units, command("key"), *[command()] * (LIMIT - 2))
    assert kinds(await units.run(place_orders, [command("key"), command("key"), command(), command()])) == [
        *[Placed] * 3,
        TooManyOpenOrders,
    ]


async def test_an_order_over_the_limit_keeps_no_key(units: OrderUnits) -> None:
    first, *_ = await placed(units, *[command()] * LIMIT)
    refused = await units.run(place_orders, [command("key"), command("key"), command("key", price="20.00")])
    assert kinds(refused) == [TooManyOpenOrders] * 3
    assert units.server.keys == {}

    await units.run(cancel_orders, [CancelOrder(first.order.id)])
    [result] = await placed(units, command("key", price="20.00"))
    assert not result.replayed


async def test_what_is_refused_for_itself_counts_for_nothing(units: OrderUnits) -> None:
    batch = [too_dear(), too_dear("key"), *[command()] * LIMIT]
    assert kinds(await units.run(place_orders, batch)) == [InvalidOrder, InvalidOrder, *[Placed] * LIMIT]


async def test_without_a_limit_nobody_counts(units: OrderUnits, monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = PlaceOrders(currency="EUR", expires_after=timedelta(minutes=15), max_open_orders=0)
    monkeypatch.delattr(PostgresOrders, "count_open")
    assert kinds(await units.run(unlimited, [command()] * 10)) == [Placed] * 10
