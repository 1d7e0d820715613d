"""A gateway that certainly did not process an attempt, and payments that wait for the circuit breaker."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from domain.attempt import Answer, Kind
from domain.payment import LEASE, Payment, Status
from infrastructure import breaker
from infrastructure.breaker import State
from infrastructure.unit_of_work import PAYMENTS
from tests.gateway import FakeGateway
from tests.messages import a_payment, reserved, undone
from tests.till import Till

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DELAYS = [timedelta(seconds=1)]
SECOND = timedelta(seconds=1)


def asked(payment: Payment, answer: Answer, now: datetime = NOW) -> Payment:
    payment.apply(payment.begin_attempt(uuid4(), now), answer, DELAYS, now)
    return payment


@pytest.mark.parametrize("was_unknown", [False, True])
def test_an_attempt_that_was_not_processed_leaves_the_payment_as_it_was_before(was_unknown: bool) -> None:
    payment = a_payment(Status.PENDING, NOW)
    if was_unknown:
        asked(payment, Answer.UNKNOWN)
    before = (payment.charge_number, payment.outcome_unknown, payment.waits)
    for attempt in range(20):
        asked(payment, Answer.UNAVAILABLE)
        assert (payment.charge_number, payment.outcome_unknown, payment.waits) == before
        assert (payment.status, payment.lease, payment.due_at) == (Status.PROCESSING, None, NOW + SECOND)
        assert payment.attempts == attempt + 1 + was_unknown
    assert (payment.outcome_unknown, payment.events) == (was_unknown, [])
    assert payment.begin_attempt(uuid4(), NOW).idempotency_key == f"{payment.id}:1"


def test_an_attempt_that_was_not_processed_does_not_settle_one_whose_process_died() -> None:
    payment = a_payment(Status.PENDING, NOW)
    payment.begin_attempt(uuid4(), NOW)
    asked(payment, Answer.UNAVAILABLE, NOW + LEASE)
    assert payment.outcome_unknown
    assert payment.undo("expired", NOW)
    assert payment.status is Status.PROCESSING


def test_a_payment_that_was_not_processed_is_cancelled_at_once_when_its_order_is_undone() -> None:
    payment = asked(a_payment(Status.PENDING, NOW), Answer.UNAVAILABLE)
    assert payment.undo("expired", NOW)
    assert (payment.status, payment.due_at) == (Status.CANCELLED, None)


@pytest.mark.parametrize("was_unknown", [False, True])
def test_an_order_undone_during_an_attempt_that_was_not_processed_cancels_unless_an_earlier_one_may_have_charged(
    was_unknown: bool,
) -> None:
    payment = a_payment(Status.PENDING, NOW)
    if was_unknown:
        asked(payment, Answer.UNKNOWN)
    attempt = payment.begin_attempt(uuid4(), NOW)
    payment.undo("cancelled-by-customer", NOW)
    payment.apply(attempt, Answer.UNAVAILABLE, DELAYS, NOW)
    assert payment.events == []
    if was_unknown:
        assert (payment.status, payment.reason, payment.due_at) == (Status.PROCESSING, None, NOW + SECOND)
    else:
        assert (payment.status, payment.reason, payment.due_at) == (Status.CANCELLED, "cancelled-by-customer", None)


def test_a_refund_that_was_not_processed_is_asked_for_again_under_its_key() -> None:
    payment = a_payment(Status.REFUNDING, NOW)
    for _ in range(5):
        asked(payment, Answer.UNAVAILABLE)
        assert (payment.status, payment.due_at, payment.waits) == (Status.REFUNDING, NOW + SECOND, 0)
    attempt = payment.begin_attempt(uuid4(), NOW)
    assert (attempt.kind, attempt.idempotency_key) == (Kind.REFUND, f"{payment.id}:refund")


@pytest.mark.parametrize("begun", [False, True], ids=["pending", "between attempts"])
@pytest.mark.parametrize(("late_by", "rests"), [(-1, False), (0, True), (1, True)])
def test_past_its_deadline_a_payment_waits_for_the_orders_decision(begun: bool, late_by: int, rests: bool) -> None:
    payment = a_payment(Status.PENDING, NOW)
    if begun:
        asked(payment, Answer.ERROR)
    status, now = payment.status, payment.expires_at + timedelta(microseconds=late_by)
    payment.due_at = now
    assert payment.rest_past_deadline(now) is rests
    assert (payment.status, payment.events) == (status, [])
    assert payment.due_at == (now + timedelta(minutes=1) if rests else now)


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.REFUNDING])
def test_no_deadline_ends_a_question_whether_money_was_taken_nor_a_refund(status: Status) -> None:
    payment = a_payment(status, NOW)
    assert not payment.rest_past_deadline(payment.expires_at + timedelta(days=1))


@pytest.fixture(autouse=True)
def a_breaker_that_opens_at_two_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "CALLS", 2)
    monkeypatch.setattr(breaker, "JITTER", 0)


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway(Answer.UNAVAILABLE)


@pytest.fixture
async def till(gateway: FakeGateway) -> Till:
    """Its breaker is open."""
    till = Till(gateway)
    await till.take(reserved(), reserved())
    assert till.calls.breaker.state is State.OPEN
    gateway.answers = [Answer.DONE]
    gateway.asked.clear()
    return till


def held_back() -> float:
    return REGISTRY.get_sample_value("payment_attempts_held_back_total") or 0


async def test_while_the_breaker_is_open_no_attempt_begins_and_payments_wait_in_their_rows(
    till: Till, gateway: FakeGateway
) -> None:
    before, order = held_back(), reserved()
    await till.take(order, reserved())
    till.pass_time(5 * SECOND - timedelta(microseconds=1))
    await till.charge()
    payment = till.payment(order.order_id)
    assert (gateway.asked, payment.status, payment.attempts, payment.lease) == ([], Status.PENDING, 0, None)
    assert (payment.outcome_unknown, payment.due_at) == (False, payment.created_at)
    assert till.statuses == {"processing": 2, "pending": 2}
    assert held_back() == before + 2


async def test_then_payments_are_tried_one_by_one_and_all_once_it_has_closed(till: Till, gateway: FakeGateway) -> None:
    await till.take(*(reserved() for _ in range(18)))
    till.pass_time(5 * SECOND)
    calls = []
    while till.statuses != {"completed": 20}:
        await till.charge()
        calls.append(len(gateway.asked))
        assert len(calls) < 10
    assert calls == [1, 3, 7, 15, 20]
    assert till.events == ["PaymentProcessed"] * 20


async def test_while_it_is_half_open_new_payments_wait_for_those_of_unknown_outcome(
    till: Till, gateway: FakeGateway
) -> None:
    unknown = a_payment(Status.PROCESSING, till.units.now)
    unknown.due_at = till.units.now + 4 * SECOND  # later than all others
    await till.units.put(PAYMENTS, unknown)
    till.pass_time(5 * SECOND)
    await till.take(*(reserved() for _ in range(3)))
    assert gateway.asked == []
    await till.charge()
    assert [attempt.order_id for attempt in gateway.asked] == [unknown.order_id]


async def test_a_payment_that_waits_is_cancelled_at_once_when_its_order_is_undone(
    till: Till, gateway: FakeGateway
) -> None:
    order = reserved()
    await till.take(order)
    await till.take(undone(order))
    assert till.payment(order.order_id).status is Status.CANCELLED
    till.pass_time(5 * SECOND)
    for _ in range(5):
        await till.charge()
    assert order.order_id not in {attempt.order_id for attempt in gateway.asked}


async def test_a_payment_that_waited_past_its_deadline_is_not_charged_and_says_nothing(
    till: Till, gateway: FakeGateway
) -> None:
    order = reserved(expires_at=till.units.now + 3 * SECOND)
    await till.take(order)
    till.pass_time(5 * SECOND)
    for _ in range(5):
        await till.charge()
    assert order.order_id not in {attempt.order_id for attempt in gateway.asked}
    assert till.payment(order.order_id).status is Status.PENDING
    assert till.events == ["PaymentProcessed"] * 2
    await till.take(undone(order, "expired"))
    payment = till.payment(order.order_id)
    assert (payment.status, payment.reason, payment.due_at) == (Status.CANCELLED, "expired", None)


async def test_refunds_wait_for_the_same_breaker(gateway: FakeGateway) -> None:
    gateway.answers = [Answer.DONE, *[Answer.UNAVAILABLE] * 2, Answer.DONE]
    till, order = Till(gateway), reserved()
    await till.take(order)
    await till.take(reserved(), reserved())
    assert till.calls.breaker.state is State.OPEN
    await till.take(undone(order))
    assert (till.payment(order.order_id).status, len(gateway.asked)) == (Status.REFUNDING, 3)
    till.pass_time(5 * SECOND)
    for _ in range(3):
        await till.charge()
    assert till.payment(order.order_id).status is Status.REFUNDED


async def test_a_replica_whose_own_breaker_is_closed_takes_what_waits(till: Till) -> None:
    await till.take(*(reserved() for _ in range(3)))
    other = FakeGateway()
    replica = Till(other, units=till.units)
    await replica.charge()
    assert len(other.asked) == 3


async def test_a_retry_after_of_the_gateway_is_waited_for(gateway: FakeGateway) -> None:
    gateway.retry_after = 30 * SECOND
    till, order = Till(gateway), reserved()
    await till.take(order)
    till.pass_time(30 * SECOND - timedelta(microseconds=1))
    await till.charge()
    assert len(gateway.asked) == 1
    till.pass_time(timedelta(microseconds=1))
    await till.charge()
    assert len(gateway.asked) == 2


@pytest.mark.parametrize("answer", [Answer.UNKNOWN, Answer.UNAVAILABLE])
async def test_a_failed_probe_opens_it_again(till: Till, gateway: FakeGateway, answer: Answer) -> None:
    gateway.answers = [answer]
    till.pass_time(5 * SECOND)
    await till.charge()
    assert (len(gateway.asked), till.calls.breaker.state) == (1, State.OPEN)
    await till.charge()
    assert len(gateway.asked) == 1
