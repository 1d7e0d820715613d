"""An order that waits asks again: when, what it says, and when it has heard enough."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from chassis.runtime.reminders import MAX_REMINDERS_A_SECOND
from chassis.testing import received

from application.cancel_orders import CancelOrder, cancel_orders
from application.expire_orders import expire_orders
from application.handle_events import handle_events
from domain.events import OrderCancelled, OrderCreated, OrderFailed
from domain.order import LostOrder, Order, Status
from infrastructure.unit_of_work import ORDERS
from tests.builders import NOON, TRACEPARENT, Act, an_order, fail, order_in, refuse
from tests.facts import Fact, paid, payment_failed, refunded, released, reserved, unavailable
from tests.running import OrderUnits, ask_again

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
REPEATED_AFTER = [MINUTE, 10 * MINUTE, HOUR, DAY, 7 * DAY]


def reminders_of(order: Order) -> list[timedelta]:
    """How long after it was placed, or decided, each of them comes, if nobody ever answers."""
    began = order.updated_at
    times = []
    while order.remind_at is not None:
        assert order.remind_at > began
        times.append(order.remind_at - began)
        before = order.updated_at
        order.remind(order.remind_at)
        assert order.updated_at == before, "a reminder is no change of the order"
        assert len(times) < 100
    return times


@pytest.mark.parametrize("status", [Status.PENDING, Status.CONFIRMED])
def test_an_open_order_asks_after_30_s_and_then_at_doubling_intervals_until_its_deadline(status: Status) -> None:
    order = order_in(status)
    order.updated_at = NOON
    seconds = [time.total_seconds() for time in reminders_of(order)]
    assert seconds == [30, 90, *range(210, 900, 120)]
    assert {type(event) for event in order.repeats} == {OrderCreated}


def test_an_order_with_little_time_never_asks() -> None:
    assert an_order(expires_after=timedelta(seconds=30)).remind_at is None
    assert an_order(expires_after=timedelta(seconds=31)).remind_at == NOON + timedelta(seconds=30)


def test_an_order_that_could_not_ask_in_time_does_not_catch_up() -> None:
    order = an_order()
    order.remind(NOON + timedelta(minutes=5))
    assert order.remind_at == NOON + timedelta(minutes=7)
    assert order.remind(order.expires_at) is None
    assert order.remind_at is None
    assert len(order.repeats) == 1


def test_what_an_order_says_again_is_what_it_said_when_it_was_placed() -> None:
    order = an_order()
    [created] = order.events
    assert order.remind(NOON + MINUTE) == "order"
    assert order.repeats == [created]


@pytest.mark.parametrize(
    ("act", "event"), [(fail, OrderFailed), (Order.expire, OrderFailed), (Order.cancel, OrderCancelled)]
)
def test_a_decision_that_undoes_is_repeated_ever_more_rarely_for_a_week(act: Act, event: type) -> None:
    order = order_in(Status.CONFIRMED)
    act(order, NOON + MINUTE)
    order.events.clear()
    assert reminders_of(order) == REPEATED_AFTER
    assert {type(said) for said in order.repeats} == {event}


@pytest.mark.parametrize("act", [Order.complete, refuse])
def test_a_decision_that_undoes_nothing_is_not_repeated(act: Act) -> None:
    order = order_in(Status.PENDING)
    assert order.remind_at is not None
    act(order, NOON + MINUTE)
    assert order.remind_at is None


def test_repeats_that_an_outage_has_missed_are_left_out() -> None:
    order = order_in(Status.CANCELLED)
    decided_at = order.updated_at
    order.remind(decided_at + 2 * HOUR)
    assert order.remind_at == decided_at + DAY
    order.remind(decided_at + 8 * DAY)
    assert order.remind_at is None


def adopted() -> Order:
    known = an_order()
    what = (known.id, known.customer_id, known.items, known.total_amount, known.currency)
    return Order.adopt(LostOrder(*what, known.expires_at, TRACEPARENT), NOON)


def undone_by(act: Act) -> Callable[[], Order]:
    def make() -> Order:
        order = order_in(Status.CONFIRMED)
        act(order, NOON + MINUTE)
        return order

    return make


@pytest.mark.parametrize(
    ("make", "awaited"),
    [
        (undone_by(fail), {"InventoryReleased"}),
        (undone_by(Order.expire), {"InventoryReleased", "PaymentRefunded"}),
        (undone_by(Order.cancel), {"InventoryReleased", "PaymentRefunded"}),
        (adopted, {"InventoryReleased", "PaymentRefunded"}),
    ],
)
@pytest.mark.parametrize("first", ["InventoryReleased", "PaymentRefunded"])
def test_a_decision_is_repeated_until_the_timeline_has_all_that_may_follow(
    make: Callable[[], Order], awaited: set[str], first: str
) -> None:
    order = make()
    order.record_compensation(first, "cancelled-by-customer", NOON + 2 * MINUTE)
    assert (order.remind_at is None) == (awaited == {first})
    for event in awaited:
        order.record_compensation(event, "cancelled-by-customer", NOON + 2 * MINUTE)
    assert order.remind_at is None


def test_an_open_order_goes_on_asking_whatever_comes_too_early() -> None:
    order = order_in(Status.CONFIRMED)
    order.record_compensation("InventoryReleased", "cancelled-by-customer", NOON + MINUTE)
    assert order.remind_at is not None


def test_an_order_undone_by_a_version_that_knew_no_reminders_says_nothing_once_all_is_undone() -> None:
    order = order_in(Status.CANCELLED)
    order.record_compensation("InventoryReleased", "cancelled-by-customer", NOON + MINUTE)
    order.record_compensation("PaymentRefunded", "cancelled-by-customer", NOON + MINUTE)
    order.remind_at = NOON
    assert order.remind(NOON + 2 * MINUTE) is None
    assert order.remind_at is None
    assert order.repeats == []


def test_an_order_completed_by_a_version_that_knew_no_reminders_says_nothing() -> None:
    order = order_in(Status.COMPLETED)
    order.remind_at = NOON
    assert order.remind(NOON + MINUTE) is None
    assert order.remind_at is None
    assert order.repeats == []


@pytest.mark.parametrize(
    ("facts", "kinds"),
    [
        ([], {"order": 1}),
        ([reserved], {"order": 1}),
        ([unavailable], {}),
        ([reserved, paid], {}),
        ([payment_failed], {"decision": 1}),
        ([payment_failed, released], {}),
        ([payment_failed, refunded], {"decision": 1}),
    ],
)
async def test_whoever_waits_asks_again_and_is_counted_by_its_kind(
    units: OrderUnits, facts: list[Fact], kinds: dict[str, int]
) -> None:
    order = an_order(now=units.now)
    await units.put(ORDERS, order)
    await units.run(handle_events, [received(fact(order.id)) for fact in facts])
    units.published.clear()

    units.now += 2 * MINUTE
    await units.run(ask_again)

    assert units.reminders == kinds
    assert [told.repeat for told in units.published] == [True] * len(kinds)
    assert {told.traceparent for told in units.published} <= {TRACEPARENT}


@pytest.mark.parametrize("undo", [cancel_orders, None])
async def test_an_order_that_was_cancelled_or_has_expired_asks_until_both_have_answered(
    units: OrderUnits, undo: Callable[..., object] | None
) -> None:
    order = an_order(now=units.now)
    await units.put(ORDERS, order)
    if undo is None:
        units.now = order.expires_at
        await units.run(expire_orders)
    else:
        await units.run(cancel_orders, [CancelOrder(order.id)])
    for fact, said in ((None, 1), (released, 1), (refunded, 0)):
        if fact is not None:
            await units.run(handle_events, [received(fact(order.id))])
        units.now += 11 * MINUTE if fact is None else HOUR
        units.published.clear()
        await units.run(ask_again)
        assert len(units.published) == said


async def test_a_second_has_so_many_reminders_and_the_oldest_come_first(units: OrderUnits) -> None:
    orders = [an_order(now=units.now - timedelta(milliseconds=number)) for number in range(MAX_REMINDERS_A_SECOND + 1)]
    await units.put(ORDERS, *orders)
    units.now += MINUTE
    await units.run(ask_again)
    await units.run(ask_again)
    said = [told.event.order_id for told in units.published]
    assert len(said) == MAX_REMINDERS_A_SECOND, "not before the next second"
    assert set(said) == {order.id for order in orders[1:]}
    units.now += timedelta(seconds=1)
    await units.run(ask_again)
    assert [told.event.order_id for told in units.published[len(said) :]] == [orders[0].id]
