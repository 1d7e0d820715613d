from datetime import timedelta
from uuid import uuid4

import pytest
from chassis.testing import received

from domain.attempt import Answer, Attempt, Kind, Reply
from domain.events import PaymentProcessed, PaymentRefunded
from domain.payment import Payment, Status
from infrastructure.unit_of_work import PAYMENTS
from tests.gateway import FakeGateway
from tests.messages import AMOUNT, CUSTOMER, TRACEPARENT, a_payment, reserved, undone
from tests.till import Till


async def test_an_order_whose_stock_is_held_is_charged_at_once_and_the_rest_is_told() -> None:
    gateway = FakeGateway(Answer.DONE)
    till, order = Till(gateway), reserved()
    await till.take(order)
    [attempt] = gateway.asked
    payment = till.payment(order.order_id)
    assert (attempt.kind, attempt.amount, attempt.currency) == (Kind.CHARGE, AMOUNT, "USD")
    assert (payment.status, payment.attempts) == (Status.COMPLETED, 1)
    assert [one.event for one in till.published] == [
        PaymentProcessed(order.order_id, CUSTOMER, payment.id, AMOUNT, "USD")
    ]
    assert till.published[0].traceparent == TRACEPARENT


async def test_the_trace_of_an_order_outlives_the_events_that_bear_none() -> None:
    till, order = Till(FakeGateway()), reserved()
    await till.take_traced(None, order)
    await till.take(undone(order))
    charged, refunded = till.published
    assert charged.traceparent == refunded.traceparent != TRACEPARENT


async def test_the_gateway_is_asked_only_after_the_attempt_is_committed_and_while_nothing_is_locked() -> None:
    class Watching(FakeGateway):
        async def ask(self, attempt: Attempt) -> Reply:
            row = till.payment(order.order_id)
            seen.append((row.status, row.lease, till.units.server.lock(("payments", order.order_id)).locked()))
            return await super().ask(attempt)

    seen: list[object] = []
    gateway = Watching()
    till, order = Till(gateway), reserved()
    await till.take(order)
    assert seen == [(Status.PROCESSING, gateway.asked[0].lease, False)]


async def test_nothing_is_asked_if_the_commit_fails() -> None:
    gateway = FakeGateway()
    till = Till(gateway)

    async def fail_at_the_end() -> None:
        async with till.units() as unit:
            await unit.start()
            await till.service.consumer.use_case([received(reserved())], unit)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fail_at_the_end()
    await till.charge()
    assert (gateway.asked, till.payments) == ([], {})


async def test_past_its_deadline_an_order_is_not_charged_and_nothing_is_published() -> None:
    gateway = FakeGateway()
    till = Till(gateway)
    order = reserved(expires_at=till.units.now)
    assert await till.take(order) == []
    assert (till.payment(order.order_id).status, gateway.asked) == (Status.VOID, [])


@pytest.mark.parametrize("batches", [1, 2])
async def test_an_order_undone_before_it_was_heard_of_is_not_charged(batches: int) -> None:
    gateway = FakeGateway()
    till, order = Till(gateway), reserved()
    if batches == 1:
        await till.take(undone(order), order)
    else:
        await till.take(undone(order))
        await till.take(order)
    till.pass_time(timedelta(days=30))
    await till.charge()
    assert (till.payment(order.order_id).status, gateway.asked, till.events) == (Status.VOID, [], [])
    assert len(till.units.unchanged) == 1


async def test_a_batch_may_open_one_payment_and_undo_another() -> None:
    till, known, new = Till(FakeGateway()), reserved(), reserved()
    await till.take(known)
    await till.take(undone(known), new)
    assert (till.payment(known.order_id).status, till.payment(new.order_id).status) == (
        Status.REFUNDED,
        Status.COMPLETED,
    )


async def test_an_order_undone_in_the_batch_that_brought_it_is_cancelled_uncharged() -> None:
    gateway = FakeGateway()
    till, order = Till(gateway), reserved()
    await till.take(order, undone(order, "expired"))
    payment = till.payment(order.order_id)
    assert (payment.status, payment.reason, gateway.asked, till.events) == (Status.CANCELLED, "expired", [], [])


async def test_an_order_undone_after_it_was_paid_is_refunded_at_once_under_a_key_of_its_own() -> None:
    gateway = FakeGateway(Answer.DONE)
    till, order = Till(gateway), reserved()
    await till.take(order)
    events = await till.take(undone(order))
    payment = till.payment(order.order_id)
    assert gateway.charge_numbers == ["1", "refund"]
    assert (payment.status, payment.reason, payment.attempts) == (Status.REFUNDED, "cancelled-by-customer", 1)
    assert events == [PaymentRefunded(order.order_id, CUSTOMER, payment.id, AMOUNT, "USD", "cancelled-by-customer")]


async def test_an_order_undone_between_attempts_is_never_asked_about_again() -> None:
    gateway = FakeGateway(Answer.ERROR)
    till, order = Till(gateway), reserved()
    await till.take(order)
    await till.take(undone(order))
    till.pass_time(timedelta(days=1))
    await till.charge()
    assert (till.payment(order.order_id).status, till.events) == (Status.CANCELLED, [])
    assert gateway.charge_numbers == ["1"]


@pytest.mark.parametrize(
    ("answer", "status", "events"),
    [
        (Answer.DONE, Status.REFUNDED, ["PaymentRefunded"]),
        (Answer.ERROR, Status.CANCELLED, []),
        (Answer.DECLINED, Status.CANCELLED, []),
    ],
)
async def test_an_order_undone_while_the_gateway_is_asked_ends_as_it_answers(
    answer: Answer, status: Status, events: list[str]
) -> None:
    gateway = FakeGateway(answer)
    till, order = Till(gateway), reserved()
    gateway.stick()
    await till.take(order)
    await till.take(undone(order))
    assert till.payment(order.order_id).status is Status.PROCESSING
    gateway.answer()
    await till.calls.stop()
    await till.charge()
    assert (till.payment(order.order_id).status, till.events) == (status, events)


async def test_a_reservation_that_is_said_again_charges_nothing_more_and_is_told_how_the_payment_ended() -> None:
    gateway = FakeGateway()
    till, order = Till(gateway), reserved()
    await till.take(order, order)
    await till.take(order)
    assert (gateway.charge_numbers, till.events) == (["1"], ["PaymentProcessed", "PaymentProcessed"])
    first, again = till.published
    assert (first.event, first.repeat, again.repeat) == (again.event, False, True)
    assert len(till.units.unchanged) == 1


async def test_a_batch_that_asks_twice_how_a_payment_ended_is_told_once() -> None:
    till, order = Till(FakeGateway()), reserved()
    await till.take(order)
    assert len(await till.take(order, order)) == 1
    assert len(till.units.unchanged) == 1


ANSWERS: dict[tuple[Status, bool], str] = {
    (Status.COMPLETED, False): "PaymentProcessed",
    (Status.FAILED, False): "PaymentFailed",
    (Status.REFUNDED, True): "PaymentRefunded",
}
"""What is said again to whom a message shows not to have heard of it: a reservation, or that the order is undone."""


@pytest.mark.parametrize("is_undone", [False, True])
@pytest.mark.parametrize("status", [status for status in Status if status is not Status.NEW])
async def test_what_comes_again_changes_no_payment_that_has_ended_and_is_answered_by_who_has_an_answer(
    status: Status, is_undone: bool
) -> None:
    gateway = FakeGateway()
    till = Till(gateway)
    payment = a_payment(status, till.units.now)
    payment.reason = payment.undone_reason = "expired"
    await till.units.put(PAYMENTS, payment)
    order = reserved(order_id=payment.order_id)
    undoes = is_undone and status in (Status.PENDING, Status.COMPLETED)
    await till.take(undone(order) if is_undone else order)
    answer = ANSWERS.get((status, is_undone))
    if not undoes:
        assert (till.payment(order.order_id).status, gateway.asked) == (status, [])
        assert [(one.event.name, one.repeat) for one in till.published] == ([(answer, True)] if answer else [])
        assert getattr(till.published[0].event, "reason", "expired") == "expired" if answer else True
        assert len(till.units.unchanged) == (0 if answer else 1)


async def test_orders_of_one_batch_are_independent() -> None:
    till = Till(FakeGateway())
    paid, cancelled, late = reserved(), reserved(), reserved(expires_at=till.units.now)
    await till.take(paid, cancelled, undone(cancelled), late, undone(reserved(order_id=uuid4())))
    ends = {order.order_id: till.payment(order.order_id).status for order in (paid, cancelled, late)}
    assert list(ends.values()) == [Status.COMPLETED, Status.CANCELLED, Status.VOID]


async def test_a_payment_is_the_orders_and_has_its_deadline() -> None:
    till, order = Till(FakeGateway()), reserved()
    await till.take(order)
    payment: Payment = till.payment(order.order_id)
    assert (payment.order_id, payment.customer_id) == (order.order_id, order.customer_id)
    assert (payment.amount, payment.currency, payment.expires_at) == (AMOUNT, "USD", order.expires_at)
