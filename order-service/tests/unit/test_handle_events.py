"""The arbiter: what each fact does to an order in each state, in whatever order and number the facts arrive."""

from datetime import timedelta
from uuid import uuid4

import pytest
from chassis.ports.errors import Rejected
from chassis.testing import received

from application.handle_events import handle_events
from domain.events import OrderCompleted, OrderFailed
from domain.order import FINAL, Status
from infrastructure.unit_of_work import ORDERS
from tests.builders import NOON, TRACEPARENT, order_in
from tests.facts import FACTS, MISSING, Fact, paid, payment_failed, refunded, released, reserved, unavailable
from tests.running import OrderUnits

DECIDING: dict[tuple[Status, Fact], tuple[Status, list[str]]] = {
    (Status.PENDING, reserved): (Status.CONFIRMED, ["OrderConfirmed"]),
    (Status.PENDING, unavailable): (Status.FAILED, ["OrderFailed"]),
    (Status.PENDING, paid): (Status.COMPLETED, ["OrderConfirmed", "OrderCompleted"]),
    (Status.PENDING, payment_failed): (Status.FAILED, ["OrderFailed"]),
    (Status.CONFIRMED, paid): (Status.COMPLETED, ["OrderCompleted"]),
    (Status.CONFIRMED, payment_failed): (Status.FAILED, ["OrderFailed"]),
}
CONTRADICTING = [
    (Status.COMPLETED, reserved),
    (Status.FAILED, reserved),
    (Status.FAILED, paid),
    (Status.CANCELLED, reserved),
    (Status.CANCELLED, paid),
]
COMPENSATIONS = [(status, fact) for status in Status for fact in (released, refunded)]
WITHOUT_EFFECT = [
    (status, fact)
    for status in Status
    for fact in FACTS
    if (status, fact) not in {*DECIDING, *CONTRADICTING, *COMPENSATIONS}
]


@pytest.fixture
def later(units: OrderUnits) -> OrderUnits:
    units.now = NOON + timedelta(minutes=1)
    return units


@pytest.mark.parametrize(("status", "fact"), DECIDING)
async def test_a_fact_moves_the_order_and_the_move_is_told(later: OrderUnits, status: Status, fact: Fact) -> None:
    order = order_in(status)
    await later.put(ORDERS, order)

    await later.run(handle_events, [received(fact(order.id))])

    wanted, names = DECIDING[status, fact]
    moved = later.kept(ORDERS)[order.id]
    assert (moved.status, moved.updated_at) == (wanted, later.now)
    assert [event.name for event in later.events] == names
    assert not any(told.repeat for told in later.published)
    assert moved.reason == getattr(fact(order.id), "reason", None)
    assert later.unchanged == []


@pytest.mark.parametrize(("status", "fact"), WITHOUT_EFFECT)
async def test_a_late_or_doubled_fact_changes_nothing_and_is_counted(
    later: OrderUnits, status: Status, fact: Fact
) -> None:
    order = order_in(status)
    await later.put(ORDERS, order)
    event = received(fact(order.id))

    await later.run(handle_events, [event])

    after = later.kept(ORDERS)[order.id]
    assert (after.status, after.timeline, after.updated_at) == (status, order.timeline, order.updated_at)
    assert later.published == []
    assert later.unchanged == [event]


@pytest.mark.parametrize(("status", "fact"), CONTRADICTING)
async def test_a_contradiction_makes_the_decision_be_said_again(later: OrderUnits, status: Status, fact: Fact) -> None:
    order = order_in(status)
    await later.put(ORDERS, order)
    order.repeat_decision()

    await later.run(handle_events, [received(fact(order.id)), received(fact(order.id))])

    [told] = later.published
    assert (told.event, told.repeat, told.traceparent) == (order.repeats[0], True, TRACEPARENT)
    assert later.kept(ORDERS)[order.id].timeline == order.timeline
    assert len(later.unchanged) == 1, "the second found it being said"


@pytest.mark.parametrize(("status", "fact"), COMPENSATIONS)
async def test_a_compensation_adds_its_line_once(later: OrderUnits, status: Status, fact: Fact) -> None:
    order = order_in(status)
    await later.put(ORDERS, order)
    first, second = received(fact(order.id)), received(fact(order.id))

    await later.run(handle_events, [first])
    await later.run(handle_events, [second])

    noted = later.kept(ORDERS)[order.id]
    assert (noted.status, len(noted.timeline)) == (status, len(order.timeline) + 1)
    assert (noted.timeline[-1].event, noted.timeline[-1].reason) == (first.type, "cancelled-by-customer")
    assert later.published == []
    assert later.unchanged == [second]


async def test_an_order_keeps_and_tells_what_was_missing(later: OrderUnits) -> None:
    order = order_in(Status.PENDING)
    await later.put(ORDERS, order)

    await later.run(handle_events, [received(unavailable(order.id))])
    await later.run(handle_events, [received(reserved(order.id))])

    assert later.kept(ORDERS)[order.id].shortages == (MISSING,)
    assert [(type(event), event.shortages) for event in later.events] == [(OrderFailed, (MISSING,))] * 2


async def test_a_completed_order_tells_what_was_bought(later: OrderUnits) -> None:
    order = order_in(Status.CONFIRMED)
    await later.put(ORDERS, order)

    await later.run(handle_events, [received(paid(order.id))])

    [completed] = later.events
    assert completed == OrderCompleted(order.id, order.customer_id, order.total_amount, order.currency, order.items)


async def test_a_paid_order_is_completed_though_its_hold_is_heard_of_later(later: OrderUnits) -> None:
    order = order_in(Status.PENDING)
    await later.put(ORDERS, order)

    await later.run(handle_events, [received(paid(order.id))])
    await later.run(handle_events, [received(reserved(order.id))])

    assert [event.name for event in later.events] == ["OrderConfirmed", "OrderCompleted", "OrderCompleted"]
    assert [told.repeat for told in later.published] == [False, False, True]
    assert [entry.status for entry in later.kept(ORDERS)[order.id].timeline] == ["pending", "confirmed", "completed"]


@pytest.mark.parametrize("facts", [[reserved, paid], [reserved, reserved, paid, paid], [paid, paid, paid]])
async def test_a_batch_may_hold_all_that_happened_to_an_order(later: OrderUnits, facts: list[Fact]) -> None:
    order = order_in(Status.PENDING)
    await later.put(ORDERS, order)

    await later.run(handle_events, [received(fact(order.id)) for fact in facts])

    assert later.kept(ORDERS)[order.id].status is Status.COMPLETED
    assert [event.name for event in later.events] == ["OrderConfirmed", "OrderCompleted"]
    assert len(later.unchanged) == len(facts) - (2 if reserved in facts else 1)


@pytest.mark.parametrize("facts", [[unavailable, reserved], [payment_failed, reserved, paid], [paid, reserved]])
async def test_a_decision_made_in_a_batch_is_said_once_in_it(later: OrderUnits, facts: list[Fact]) -> None:
    order = order_in(Status.PENDING)
    await later.put(ORDERS, order)

    await later.run(handle_events, [received(fact(order.id)) for fact in facts])

    assert [event.name for event in later.events if event.name != "OrderConfirmed"] == [
        "OrderCompleted" if paid is facts[0] else "OrderFailed"
    ]
    assert len(later.unchanged) == len(facts) - 1


async def test_a_batch_settles_each_order_by_itself(later: OrderUnits) -> None:
    orders = [order_in(Status.PENDING) for _ in range(3)]
    await later.put(ORDERS, *orders)
    facts = [reserved, unavailable, paid]

    await later.run(handle_events, [received(fact(order.id)) for fact, order in zip(facts, orders, strict=True)])

    assert [later.kept(ORDERS)[order.id].status for order in orders] == [
        Status.CONFIRMED,
        Status.FAILED,
        Status.COMPLETED,
    ]


async def test_all_events_of_an_order_bear_the_trace_of_its_request(later: OrderUnits) -> None:
    order = order_in(Status.PENDING)
    await later.put(ORDERS, order)
    other_trace = "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01"

    for fact in (paid, reserved):
        await later.run(handle_events, [received(fact(order.id), traceparent=other_trace)])

    assert {told.traceparent for told in later.published} == {TRACEPARENT}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("payment", [("39.97", "USD"), ("0.01", "USD"), ("39.98", "EUR")])
async def test_a_payment_of_another_amount_than_the_orders_is_forged(
    later: OrderUnits, status: Status, payment: tuple[str, str]
) -> None:
    order = order_in(status)
    await later.put(ORDERS, order)

    with pytest.raises(Rejected, match=f"{' '.join(payment)} were paid for order {order.id}, not 39.98 USD") as refusal:
        await later.run(handle_events, [received(paid(order.id, *payment))])

    assert refusal.value.reason == "forged"
    assert later.kept(ORDERS)[order.id].status is status


@pytest.mark.parametrize("fact", FACTS)
async def test_a_fact_about_an_order_that_is_not_ours_is_rejected(later: OrderUnits, fact: Fact) -> None:
    order = order_in(Status.PENDING)
    await later.put(ORDERS, order)

    with pytest.raises(Rejected) as rejected:
        await later.run(handle_events, [received(reserved(order.id)), received(fact(uuid4()))])

    assert rejected.value.reason == "unknown-order"
    assert later.kept(ORDERS)[order.id].status is Status.PENDING
    assert later.published == []


def test_the_matrix_is_whole() -> None:
    assert len(DECIDING) + len(CONTRADICTING) + len(COMPENSATIONS) + len(WITHOUT_EFFECT) == len(Status) * len(FACTS)
    assert {status for status, _ in CONTRADICTING} == FINAL
