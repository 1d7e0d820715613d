from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from domain.attempt import Answer, Attempt, Kind
from domain.errors import IllegalTransition
from domain.events import PaymentFailed, PaymentProcessed, PaymentRefunded
from domain.payment import LEASE, Payment, Status
from tests.messages import AMOUNT, CUSTOMER, a_payment

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DELAYS = [timedelta(seconds=delay) for delay in (1, 2, 4)]
LATER = NOW + timedelta(seconds=1)
FINAL = {Status.FAILED, Status.CANCELLED, Status.REFUNDED, Status.VOID}

ACTS: dict[str, tuple[set[Status], Callable[[Payment], object]]] = {
    "pending": ({Status.NEW}, lambda payment: payment.open(AMOUNT, "USD", NOW)),
    "void": ({Status.NEW}, lambda payment: payment.void(NOW)),
    "processing": ({Status.PENDING, Status.PROCESSING}, lambda payment: payment.begin_attempt(uuid4(), NOW)),
}


@pytest.mark.parametrize("wanted", ACTS)
@pytest.mark.parametrize("current", Status)
def test_a_payment_becomes_only_what_its_state_allows(current: Status, wanted: str) -> None:
    allowed, act = ACTS[wanted]
    payment = a_payment(current, NOW)
    if current is Status.REFUNDING and wanted == "processing":
        return  # its attempts are refunds, and leave it refunding
    if current in allowed:
        act(payment)
        assert payment.status == wanted
        return
    with pytest.raises(IllegalTransition, match=f"is {current} and can't become {wanted}"):
        act(payment)
    assert (payment.status, payment.lease, payment.due_at, payment.attempts) == (current, None, None, 0)


def in_attempt(status: Status = Status.PROCESSING) -> tuple[Payment, Attempt]:
    payment = a_payment(Status.PENDING if status is Status.PROCESSING else status, NOW)
    return payment, payment.begin_attempt(uuid4(), NOW)


@pytest.mark.parametrize(("late_by", "status"), [(-1, Status.PENDING), (0, Status.VOID), (1, Status.VOID)])
def test_from_its_deadline_on_an_order_is_charged_nothing(late_by: int, status: Status) -> None:
    payment = a_payment(Status.NEW, NOW)
    now = payment.expires_at + timedelta(microseconds=late_by)
    payment.open(AMOUNT, "USD", now)
    assert (payment.status, payment.events) == (status, [])
    assert payment.due_at == (now if status is Status.PENDING else payment.expires_at + timedelta(days=7))


def test_an_attempt_is_in_the_payment_before_it_is_made() -> None:
    payment, attempt = in_attempt()
    assert (payment.status, payment.attempts, payment.outcome_unknown) == (Status.PROCESSING, 1, True)
    assert (payment.lease, payment.due_at) == (attempt.lease, NOW + LEASE)
    ids = (payment.id, payment.order_id, CUSTOMER)
    assert attempt == Attempt(Kind.CHARGE, f"{payment.id}:1", *ids, AMOUNT, "USD", attempt.lease, payment.traceparent)


def test_a_charge_that_is_done_completes_the_payment() -> None:
    payment, attempt = in_attempt()
    assert payment.apply(attempt, Answer.DONE, DELAYS, LATER)
    assert (payment.status, payment.outcome_unknown, payment.due_at) == (Status.COMPLETED, False, None)
    assert payment.events == [PaymentProcessed(payment.order_id, CUSTOMER, payment.id, AMOUNT, "USD")]


def test_a_decline_is_final() -> None:
    payment, attempt = in_attempt()
    payment.apply(attempt, Answer.DECLINED, DELAYS, LATER)
    assert (payment.status, payment.reason, payment.due_at) == (Status.FAILED, "payment-declined", None)
    assert payment.events == [PaymentFailed(payment.order_id, CUSTOMER, payment.id, "payment-declined")]


@pytest.mark.parametrize("delays", [[], [1], [1, 2, 4], [0.5, 0.5]])
def test_each_definite_error_waits_for_its_delay_and_the_last_one_fails(delays: list[float]) -> None:
    payment, now, waits, keys = a_payment(Status.PENDING, NOW), NOW, [], []
    while not payment.events:
        attempt = payment.begin_attempt(uuid4(), now)
        keys.append(attempt.idempotency_key)
        payment.apply(attempt, Answer.ERROR, [timedelta(seconds=delay) for delay in delays], now)
        if payment.due_at is not None:
            waits.append((payment.due_at - now).total_seconds())
            assert (payment.status, payment.outcome_unknown) == (Status.PROCESSING, False)
            now = payment.due_at
    assert waits == delays
    assert keys == [f"{payment.id}:{number}" for number in range(1, len(delays) + 2)]
    assert (payment.status, payment.reason) == (Status.FAILED, "payment-retries-exhausted")
    assert payment.events == [PaymentFailed(payment.order_id, CUSTOMER, payment.id, "payment-retries-exhausted")]


def test_an_unknown_outcome_is_asked_for_under_the_same_key_ever_more_rarely_and_without_end() -> None:
    payment, now, waits, keys = a_payment(Status.PENDING, NOW), NOW, [], set()
    for _ in range(50):
        attempt = payment.begin_attempt(uuid4(), now)
        keys.add(attempt.idempotency_key)
        payment.apply(attempt, Answer.UNKNOWN, DELAYS, now)
        assert payment.due_at is not None
        assert (payment.status, payment.outcome_unknown, payment.events) == (Status.PROCESSING, True, [])
        waits.append(payment.due_at - now)
        now = payment.due_at
    assert keys == {f"{payment.id}:1"}
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert waits[0] == timedelta(seconds=1) < waits[1] < waits[-1] == timedelta(minutes=1)
    assert payment.attempts == 50


def test_unknown_outcomes_are_no_retries_and_a_definite_answer_ends_their_waits() -> None:
    payment, now, keys, waits = a_payment(Status.PENDING, NOW), NOW, [], []
    for answer in [Answer.UNKNOWN, Answer.UNKNOWN, Answer.ERROR] * 4:
        attempt = payment.begin_attempt(uuid4(), now)
        keys.append(attempt.idempotency_key.partition(":")[2])
        payment.apply(attempt, answer, DELAYS, now)
        if payment.due_at is not None:
            waits.append((payment.due_at - now).total_seconds())
            now = payment.due_at
    assert keys == [*"111222333444"]
    assert waits == [1, 2, 1, 1, 2, 2, 1, 2, 4, 1, 2]
    assert payment.status is Status.FAILED


@pytest.mark.parametrize("answer", Answer)
@pytest.mark.parametrize("status", [Status.PROCESSING, Status.REFUNDING])
def test_an_answer_to_a_lease_that_another_has_taken_over_changes_nothing(status: Status, answer: Answer) -> None:
    payment, stale = in_attempt(status)
    fresh = payment.begin_attempt(uuid4(), NOW + LEASE)
    assert fresh.idempotency_key == stale.idempotency_key
    assert not payment.apply(stale, answer, DELAYS, LATER)
    assert (payment.status, payment.lease, payment.due_at) == (status, fresh.lease, NOW + 2 * LEASE)
    assert payment.events == []


@pytest.mark.parametrize("answer", Answer)
def test_an_answer_that_comes_twice_counts_once(answer: Answer) -> None:
    payment, attempt = in_attempt()
    assert payment.apply(attempt, Answer.ERROR, DELAYS, LATER)
    assert not payment.apply(attempt, answer, DELAYS, LATER)
    assert (payment.charge_number, payment.outcome_unknown, payment.events) == (2, False, [])


def between_attempts() -> Payment:
    payment, attempt = in_attempt()
    payment.apply(attempt, Answer.ERROR, DELAYS, NOW)
    return payment


@pytest.mark.parametrize("begin", [lambda: a_payment(Status.PENDING, NOW), between_attempts])
def test_an_order_undone_while_nothing_is_unknown_cancels_the_payment_at_once(begin: Callable[[], Payment]) -> None:
    payment = begin()
    assert payment.undo("expired", LATER)
    assert (payment.status, payment.reason, payment.due_at) == (Status.CANCELLED, "expired", None)
    assert payment.events == []


def test_an_order_undone_before_there_was_a_payment_leaves_a_tombstone_for_seven_days_past_the_deadline() -> None:
    payment = a_payment(Status.NEW, NOW)
    assert payment.undo("expired", LATER)
    assert (payment.status, payment.due_at) == (Status.VOID, payment.expires_at + timedelta(days=7))


@pytest.mark.parametrize("answer", [Answer.DECLINED, Answer.ERROR])
@pytest.mark.parametrize("unknown", [0, 3])
def test_an_order_undone_while_the_outcome_is_unknown_is_cancelled_once_it_is_known_not_charged(
    answer: Answer, unknown: int
) -> None:
    payment, attempt = in_attempt()
    assert payment.undo("expired", LATER)
    assert (payment.status, payment.lease, payment.due_at) == (Status.PROCESSING, attempt.lease, NOW + LEASE)
    for _ in range(unknown):
        payment.apply(attempt, Answer.UNKNOWN, DELAYS, LATER)
        attempt = payment.begin_attempt(uuid4(), LATER)
    payment.apply(attempt, answer, DELAYS, LATER)
    assert (payment.status, payment.reason, payment.due_at) == (Status.CANCELLED, "expired", None)
    assert payment.events == []


def test_an_order_undone_while_the_outcome_is_unknown_gets_back_what_was_charged_and_only_that_is_told() -> None:
    payment, attempt = in_attempt()
    payment.undo("expired", LATER)
    payment.apply(attempt, Answer.DONE, DELAYS, LATER)
    assert (payment.status, payment.due_at, payment.events) == (Status.REFUNDING, LATER, [])
    refund = payment.begin_attempt(uuid4(), LATER)
    assert (refund.kind, refund.idempotency_key) == (Kind.REFUND, f"{payment.id}:refund")
    payment.apply(refund, Answer.DONE, DELAYS, LATER)
    assert (payment.status, payment.reason, payment.due_at) == (Status.REFUNDED, "expired", None)
    assert payment.events == [PaymentRefunded(payment.order_id, CUSTOMER, payment.id, AMOUNT, "USD", "expired")]


def test_an_order_undone_after_it_was_paid_is_refunded() -> None:
    payment, attempt = in_attempt()
    payment.apply(attempt, Answer.DONE, DELAYS, NOW)
    assert payment.undo("cancelled-by-customer", LATER)
    assert (payment.status, payment.reason, payment.due_at) == (Status.REFUNDING, "cancelled-by-customer", LATER)


@pytest.mark.parametrize("answer", [Answer.UNKNOWN, Answer.ERROR, Answer.DECLINED])
def test_a_refund_is_asked_for_under_its_own_key_until_it_is_done(answer: Answer) -> None:
    payment, now, waits = a_payment(Status.REFUNDING, NOW), NOW, []
    for _ in range(20):
        attempt = payment.begin_attempt(uuid4(), now)
        assert attempt.idempotency_key == f"{payment.id}:refund"
        payment.apply(attempt, answer, DELAYS, now)
        assert payment.due_at is not None
        waits.append((payment.due_at - now).total_seconds())
        now = payment.due_at
    assert waits == [1, 2, 4, 8, 16, 32, *[60] * 14]
    assert (payment.status, payment.attempts, payment.events) == (Status.REFUNDING, 0, [])
    payment.apply(payment.begin_attempt(uuid4(), now), Answer.DONE, DELAYS, now)
    assert payment.status is Status.REFUNDED


@pytest.mark.parametrize("status", [*sorted(FINAL), Status.REFUNDING])
def test_an_order_undone_when_nothing_can_be_undone_any_more_changes_nothing(status: Status) -> None:
    payment = a_payment(status, NOW)
    payment.reason = payment.undone_reason = "expired"
    assert not payment.undo("cancelled-by-customer", LATER)
    assert (payment.status, payment.reason, payment.undone_reason) == (status, "expired", "expired")
    assert (payment.updated_at, payment.events) == (NOW, [])


def test_an_order_undone_twice_keeps_the_first_reason() -> None:
    payment, attempt = in_attempt()
    assert payment.undo("expired", LATER)
    assert not payment.undo("cancelled-by-customer", LATER)
    payment.apply(attempt, Answer.ERROR, DELAYS, LATER)
    assert payment.reason == "expired"


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (Status.COMPLETED, PaymentProcessed),
        (Status.FAILED, PaymentFailed),
        (Status.REFUNDED, PaymentRefunded),
        *((status, None) for status in Status if status not in (Status.COMPLETED, Status.FAILED, Status.REFUNDED)),
    ],
)
def test_a_payment_says_again_how_it_ended_and_once_at_a_time(status: Status, event: type | None) -> None:
    payment = a_payment(status, NOW)
    payment.reason = payment.undone_reason = "expired"
    if event is None:
        with pytest.raises(IllegalTransition, match=status):
            payment.repeat()
        return
    assert payment.repeat()
    assert not payment.repeat()
    assert [type(said) for said in payment.repeats] == [event]
    assert getattr(payment.repeats[0], "reason", "expired") == "expired"


def test_what_is_said_for_the_first_time_is_not_said_again_at_once() -> None:
    payment, attempt = in_attempt()
    payment.apply(attempt, Answer.DONE, DELAYS, NOW)
    assert not payment.repeat()
    assert payment.repeats == []


def test_a_payment_was_never_changed_before_it_was_opened() -> None:
    """Its lock is had later than its transaction began, maybe after another one has opened the payment."""
    payment, attempt = in_attempt()
    opened_at = payment.updated_at
    payment.undo("expired", opened_at - timedelta(milliseconds=5))
    assert payment.updated_at == opened_at
    payment.apply(attempt, Answer.UNKNOWN, DELAYS, opened_at - timedelta(milliseconds=5))
    assert payment.updated_at == opened_at
