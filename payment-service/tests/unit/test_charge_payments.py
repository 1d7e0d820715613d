"""When the gateway is asked, for what, and what its answers do."""

from datetime import timedelta

import pytest

from application.charge_payments import Answered, ApplyAnswers
from domain.attempt import Answer, Attempt, Reply
from domain.payment import LEASE, Status
from tests.gateway import FakeGateway
from tests.messages import reserved, undone
from tests.till import Till

MOMENT = timedelta(microseconds=1)


async def test_a_charge_that_meets_an_error_is_tried_again_after_exactly_one_two_and_four_seconds_then_fails() -> None:
    gateway = FakeGateway(Answer.ERROR)
    till, order = Till(gateway), reserved()
    await till.take(order)
    for number, delay in enumerate([1, 2, 4], start=2):
        till.pass_time(timedelta(seconds=delay) - MOMENT)
        assert await till.charge() == []
        assert len(gateway.asked) == number - 1
        till.pass_time(MOMENT)
        await till.charge()
        assert len(gateway.asked) == number
    payment = till.payment(order.order_id)
    assert gateway.charge_numbers == ["1", "2", "3", "4"]
    assert (payment.status, payment.reason) == (Status.FAILED, "payment-retries-exhausted")
    assert (payment.attempts, payment.due_at, till.events) == (4, None, ["PaymentFailed"])
    till.pass_time(timedelta(days=1))
    await till.charge()
    assert len(gateway.asked) == 4


@pytest.mark.parametrize("errors", [1, 2, 3])
async def test_a_retry_that_succeeds_completes_the_payment(errors: int) -> None:
    gateway = FakeGateway(*[Answer.ERROR] * errors, Answer.DONE)
    till, order = Till(gateway), reserved()
    await till.take(order)
    for _ in range(errors):
        till.pass_time_until_due(order.order_id)
        await till.charge()
    assert till.payment(order.order_id).status is Status.COMPLETED
    assert (till.payment(order.order_id).attempts, till.events) == (errors + 1, ["PaymentProcessed"])


async def test_a_declined_charge_is_not_tried_again() -> None:
    gateway = FakeGateway(Answer.DECLINED)
    till, order = Till(gateway), reserved()
    await till.take(order)
    till.pass_time(timedelta(days=1))
    await till.charge()
    assert (gateway.charge_numbers, till.events) == (["1"], ["PaymentFailed"])
    assert till.payment(order.order_id).reason == "payment-declined"


async def test_an_answer_that_is_lost_is_asked_for_under_the_same_key() -> None:
    gateway = FakeGateway(Answer.UNKNOWN, Answer.UNKNOWN, Answer.ERROR, Answer.DONE)
    till, order = Till(gateway), reserved()
    await till.take(order)
    waits = []
    while till.payment(order.order_id).status is Status.PROCESSING:
        waits.append(till.pass_time_until_due(order.order_id).total_seconds())
        await till.charge()
    assert (gateway.charge_numbers, waits) == (["1", "1", "1", "2"], [1, 2, 1])
    assert till.events == ["PaymentProcessed"]


async def test_an_attempt_without_an_answer_is_made_again_under_its_key_when_the_lease_has_run_out() -> None:
    gateway = FakeGateway(Answer.DONE)
    till, order = Till(gateway), reserved()
    gateway.stick()
    await till.take(order)
    till.pass_time(LEASE - MOMENT)
    await till.charge()
    assert len(gateway.asked) == 1
    till.pass_time(MOMENT)
    await till.charge()
    assert gateway.charge_numbers == ["1", "1"]
    gateway.answer()
    await till.calls.stop()
    assert till.payment(order.order_id).status is Status.COMPLETED
    assert till.events == ["PaymentProcessed"]


async def test_the_answer_of_a_worker_that_was_given_up_does_not_count_even_if_it_comes_first() -> None:
    slow, quick = FakeGateway(Answer.ERROR), FakeGateway(Answer.ERROR)
    till, order = Till(slow), reserved()
    slow.stick()
    await till.take(order)
    given_up = till.calls
    till.restart(quick)
    quick.stick()
    till.pass_time(LEASE)
    await till.charge()
    slow.answer()
    await given_up.stop()
    assert till.payment(order.order_id).outcome_unknown
    assert till.payment(order.order_id).charge_number == 1
    quick.answer()
    await till.calls.stop()
    assert till.payment(order.order_id).charge_number == 2


async def test_an_answer_that_cannot_be_entered_is_asked_for_again_under_its_key() -> None:
    gateway = FakeGateway(Answer.DONE)
    till, order = Till(gateway), reserved()
    gateway.stick()
    await till.take(order)
    with till.database_away():
        gateway.answer()
        await till.calls.stop()
    assert till.payment(order.order_id).status is Status.PROCESSING
    till.pass_time(LEASE)
    await till.charge()
    assert (gateway.charge_numbers, till.events) == (["1", "1"], ["PaymentProcessed"])


async def test_a_gateway_that_breaks_its_promise_and_raises_leaves_the_outcome_unknown() -> None:
    class Broken:
        async def ask(self, attempt: Attempt) -> Reply:
            raise RuntimeError("connection reset")

    till, order = Till(Broken()), reserved()
    await till.take(order)
    payment = till.payment(order.order_id)
    assert (payment.status, payment.outcome_unknown, till.events) == (Status.PROCESSING, True, [])
    till.restart(FakeGateway())
    till.pass_time(LEASE)
    await till.charge()
    assert till.events == ["PaymentProcessed"]


@pytest.mark.parametrize("answer", [Answer.UNKNOWN, Answer.ERROR, Answer.DECLINED])
async def test_a_refund_is_asked_for_until_it_is_done(answer: Answer) -> None:
    gateway = FakeGateway(Answer.DONE, *[answer] * 12, Answer.DONE)
    till, order = Till(gateway), reserved()
    await till.take(order)
    await till.take(undone(order))
    while till.payment(order.order_id).status is Status.REFUNDING:
        till.pass_time_until_due(order.order_id)
        await till.charge()
    assert gateway.charge_numbers == ["1", *["refund"] * 13]
    assert till.events == ["PaymentProcessed", "PaymentRefunded"]


async def test_a_refund_without_an_answer_is_made_again_when_its_lease_has_run_out() -> None:
    gateway = FakeGateway()
    till, order = Till(gateway), reserved()
    await till.take(order)
    gateway.stick()
    await till.take(undone(order))
    till.restart(FakeGateway())
    till.pass_time(LEASE)
    await till.charge()
    assert till.payment(order.order_id).status is Status.REFUNDED


async def test_answers_are_settled_together_and_a_stale_one_among_them_does_not_count() -> None:
    gateway = FakeGateway()
    gateway.stick()
    till, orders = Till(gateway), [reserved(), reserved()]
    await till.take(*orders)
    till.pass_time(LEASE)
    await till.charge()
    stale, other_stale, fresh, other_fresh = gateway.asked
    answers = [Answered(attempt, Answer.DONE) for attempt in (stale, fresh, other_fresh, other_stale)]
    results = await till.units.run(ApplyAnswers([]), answers)
    assert results == [False, True, True, False]
    assert till.events == ["PaymentProcessed"] * 2
