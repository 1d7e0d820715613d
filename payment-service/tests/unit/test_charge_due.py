import asyncio
from datetime import timedelta
from typing import Any

import pytest
from application.enter_answers import Answered

from application import charge_due
from domain.attempt import Answer, Attempt
from domain.payment import LEASE, Status
from tests.fakes import FakeGateway
from tests.messages import reserved, undone
from tests.till import Till, turns

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
    await till.charge_due.stop()
    assert sorted(till.settled, key=bool) == [False, True]
    assert till.payment(order.order_id).status is Status.COMPLETED
    assert till.events == ["PaymentProcessed"]


async def test_the_answer_of_a_worker_that_was_given_up_does_not_count_even_if_it_comes_first() -> None:
    slow, quick = FakeGateway(Answer.ERROR), FakeGateway(Answer.ERROR)
    till, order = Till(slow), reserved()
    slow.stick()
    await till.take(order)
    given_up = till.charge_due
    till.restart(quick)
    quick.stick()
    till.pass_time(LEASE)
    await till.charge()
    slow.answer()
    await given_up.stop()
    assert till.settled == [False]
    assert till.payment(order.order_id).outcome_unknown
    quick.answer()
    await till.charge_due.stop()
    assert till.settled == [False, True]
    assert till.payment(order.order_id).charge_number == 2


async def test_an_answer_that_cannot_be_entered_is_asked_for_again_under_its_key() -> None:
    gateway = FakeGateway(Answer.DONE)
    till, order = Till(gateway), reserved()

    async def fail(_: Answered) -> None:
        raise ConnectionError("the database is away")

    till.charge_due._enter = fail
    await till.take(order)
    assert till.payment(order.order_id).status is Status.PROCESSING
    till.restart(gateway)
    till.pass_time(LEASE)
    await till.charge()
    assert (gateway.charge_numbers, till.events) == (["1", "1"], ["PaymentProcessed"])


async def test_a_gateway_that_breaks_its_promise_and_raises_leaves_the_outcome_unknown() -> None:
    class Broken:
        async def ask(self, attempt: Attempt) -> Answer:
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


@pytest.fixture
def room_for_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charge_due, "MAX_ATTEMPTS_IN_FLIGHT", 4)


def statuses(till: Till) -> dict[str, int]:
    found: dict[str, int] = {}
    for payment in till.store.payments.committed.values():
        found[payment.status] = found.get(payment.status, 0) + 1
    return found


@pytest.mark.usefixtures("room_for_four")
async def test_payments_for_which_there_is_no_room_wait_until_there_is() -> None:
    gateway = FakeGateway()
    till = Till(gateway)
    woken: list[Any] = []
    till.charge_due.on_room = lambda: woken.append(len(gateway.asked))
    gateway.stick()
    await till.take(*(reserved() for _ in range(10)))
    assert statuses(till) == {"processing": 4, "pending": 6}
    async with till.store.transaction() as unit:
        assert not await till.charge_due(unit), "there is no room"
    await turns()
    assert (statuses(till), woken) == ({"processing": 4, "pending": 6}, [])

    gateway.answer()
    await till.charge_due.stop()
    assert (statuses(till), woken) == ({"completed": 4, "pending": 6}, [4])
    await till.charge()
    assert statuses(till) == {"completed": 8, "pending": 2}
    await till.charge()
    assert statuses(till) == {"completed": 10}
    assert len(gateway.asked) == len({attempt.payment_id for attempt in gateway.asked}) == 10


@pytest.mark.usefixtures("room_for_four")
@pytest.mark.parametrize("waits", ["a payment just opened", "a payment that is due"])
async def test_room_is_announced_to_whatever_waited_for_it(waits: str) -> None:
    gateway = FakeGateway()
    till = Till(gateway)
    woken: list[None] = []
    till.charge_due.on_room = lambda: woken.append(None)
    gateway.stick()
    if waits == "a payment just opened":
        await till.take(*(reserved() for _ in range(5)))
    else:
        await till.take(*(reserved() for _ in range(4)))
        await till.charge()
    gateway.answer()
    await till.charge_due.stop()
    assert woken == [None]


@pytest.mark.usefixtures("room_for_four")
async def test_room_that_nobody_waits_for_is_not_announced() -> None:
    till = Till(FakeGateway())
    woken: list[None] = []
    till.charge_due.on_room = lambda: woken.append(None)
    await till.take(*(reserved() for _ in range(4)))
    assert (statuses(till), woken) == ({"completed": 4}, [])


@pytest.mark.usefixtures("room_for_four")
async def test_a_payment_that_waited_for_room_is_cancelled_if_its_order_is_undone_meanwhile() -> None:
    gateway = FakeGateway()
    till = Till(gateway)
    gateway.stick()
    orders = [reserved() for _ in range(5)]
    await till.take(*orders)
    await till.take(undone(orders[-1]))
    assert till.payment(orders[-1].order_id).status is Status.CANCELLED
    gateway.answer()
    await till.charge_due.stop()
    await till.charge()
    assert len(gateway.asked) == 4


async def test_a_run_that_took_all_that_it_could_is_followed_by_another_when_there_is_room(
    room_for_four: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    till, calls = Till(FakeGateway()), list[int]()
    with monkeypatch.context() as patch:
        patch.setattr(charge_due, "MAX_ATTEMPTS_IN_FLIGHT", 0)
        await till.take(*(reserved() for _ in range(5)))
    till.charge_due.on_room = lambda: calls.append(1)
    for expected in (1, 0):
        calls.clear()
        async with till.store.transaction() as unit:
            assert await till.charge_due(unit) is False
        await till.charge_due.stop()
        assert len(calls) == expected


async def test_a_shutdown_waits_for_the_answers_under_way() -> None:
    gateway = FakeGateway()
    till, order = Till(gateway), reserved()
    gateway.stick()
    await till.take(order)
    draining = asyncio.create_task(till.charge_due.stop())
    await turns()
    assert not draining.done()
    gateway.answer()
    await draining
    assert till.payment(order.order_id).status is Status.COMPLETED


async def test_answers_are_settled_together_and_a_stale_one_among_them_does_not_count() -> None:
    gateway = FakeGateway()
    gateway.stick()
    till, orders = Till(gateway), [reserved(), reserved()]
    await till.take(*orders)
    till.pass_time(LEASE)
    await till.charge()
    stale, other_stale, fresh, other_fresh = gateway.asked
    answers = [Answered(attempt, Answer.DONE) for attempt in (stale, fresh, other_fresh, other_stale)]
    async with till.store.transaction() as unit:
        results = await till.enter_answers(answers, unit)
    assert results == [False, True, True, False]
    assert till.events == ["PaymentProcessed"] * 2
