"""How many calls of the gateway are under way at once, what waits for room, and what becomes of a call that fails."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import structlog
from chassis.ports import tracing
from chassis.ports.tracing import trace_id
from chassis.testing import eventually
from chassis.testing.memory import Connection
from prometheus_client import REGISTRY
from structlog.testing import LogCapture

from application.charge_payments import Answered
from domain.attempt import Answer, Attempt, Reply
from domain.payment import LEASE, Status
from infrastructure import breaker, gateway_calls
from infrastructure.breaker import State
from infrastructure.gateway_calls import MAX_CALLS, TIMEOUT_SECONDS, BackgroundCalls
from infrastructure.unit_of_work import PAYMENTS
from tests.gateway import FakeGateway
from tests.messages import TRACEPARENT, a_payment, an_attempt, reserved, undone
from tests.till import Till, turns


class SlowGateway:
    """Answers each call when it is told to, and knows how many there were at once."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[Answer]] = []
        self.most = 0

    async def ask(self, attempt: Attempt) -> Reply:
        call: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.calls.append(call)
        self.most = max(self.most, sum(not call.done() for call in self.calls))
        return Reply(await call)

    async def answer(self, number: int) -> None:
        for call in [call for call in self.calls if not call.done()][:number]:
            call.set_result(Answer.DONE)
        await turns()


class Job:
    """The job "due payments" of a till, which runs, counts its turns, and waits for no interval."""

    def __init__(self, till: Till) -> None:
        self.job = till.job
        self.job.every_seconds = 3600.0
        self.turns = 0
        self._act = self.job.act
        self.job.act = self._count

    async def _count(self) -> object:
        self.turns += 1
        assert self.turns < 100, "turn follows turn though there is nothing to do"
        return await self._act()


async def run(till: Till) -> Job:
    job = Job(till)
    await job.job.start()
    await turns()
    return job


async def due_payments(till: Till, number: int) -> None:
    payments = [a_payment(Status.PENDING, till.units.now) for _ in range(number)]
    for payment in payments:
        payment.due_at = till.units.now
    await till.units.put(PAYMENTS, *payments)


@pytest.fixture
def room_for_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_calls, "MAX_CALLS", 4)


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
async def till(gateway: FakeGateway) -> AsyncIterator[Till]:
    till = Till(gateway)
    yield till
    gateway.answer()
    await till.job.stop()
    await till.calls.stop()


@pytest.mark.usefixtures("room_for_four")
async def test_payments_for_which_there_is_no_room_wait_until_there_is(till: Till, gateway: FakeGateway) -> None:
    gateway.stick()
    await till.take(*(reserved() for _ in range(10)))
    assert till.statuses == {"processing": 4, "pending": 6}
    await till.charge()
    assert till.statuses == {"processing": 4, "pending": 6}

    gateway.answer()
    await till.calls.stop()
    assert till.statuses == {"completed": 4, "pending": 6}
    await till.charge()
    assert till.statuses == {"completed": 8, "pending": 2}
    await till.charge()
    assert till.statuses == {"completed": 10}
    assert len(gateway.asked) == len({attempt.payment_id for attempt in gateway.asked}) == 10


@pytest.mark.usefixtures("room_for_four")
async def test_a_payment_that_waited_for_room_is_cancelled_if_its_order_is_undone_meanwhile(
    till: Till, gateway: FakeGateway
) -> None:
    gateway.stick()
    orders = [reserved() for _ in range(5)]
    await till.take(*orders)
    await till.take(undone(orders[-1]))
    assert till.payment(orders[-1].order_id).status is Status.CANCELLED
    gateway.answer()
    await till.calls.stop()
    await till.charge()
    assert len(gateway.asked) == 4


async def test_a_thousand_due_payments_are_charged_in_turn_as_many_at_once_as_there_is_room_for() -> None:
    gateway = SlowGateway()
    till = Till(gateway)
    await due_payments(till, 1_000)
    job = await run(till)
    for _ in range(2 * 1_000 // MAX_CALLS):
        await gateway.answer(MAX_CALLS)
    assert till.statuses == {"completed": 1_000}
    assert (gateway.most, len(gateway.calls)) == (MAX_CALLS, 1_000)
    assert job.turns <= 2 * 1_000 / MAX_CALLS + 1
    await till.job.stop()


@pytest.mark.usefixtures("room_for_four")
@pytest.mark.parametrize("taken_by", ["the job", "new payments"])
async def test_while_there_is_no_room_the_job_takes_no_turn_and_then_goes_on_at_once(
    till: Till, gateway: FakeGateway, taken_by: str
) -> None:
    gateway.stick()
    if taken_by == "new payments":
        await till.take(*(reserved() for _ in range(4)))
    await due_payments(till, 6)
    job = await run(till)
    await turns(1_000)
    assert (job.turns, len(gateway.asked)) == (1, 4)
    gateway.answer()
    await eventually(lambda: till.statuses == {"completed": 6 if taken_by == "the job" else 10})


async def test_while_the_breaker_is_open_turn_does_not_follow_turn_and_then_the_job_goes_on_by_itself(
    till: Till, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_calls, "ROOM_WITHIN_SECONDS", 0.05)
    gateway.answers, gateway.retry_after = [Answer.UNAVAILABLE, Answer.DONE], timedelta(seconds=30)
    await due_payments(till, 10)
    till.calls.make([an_attempt()])
    await turns()
    job = await run(till)
    await turns(1_000)
    assert (job.turns, len(gateway.asked)) == (1, 1)
    till.pass_time(timedelta(seconds=40))
    await eventually(lambda: till.statuses == {"completed": 10})


async def test_a_gateway_that_raises_counts_as_a_failure(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Attempt) -> Reply:
        raise RuntimeError("connection reset")

    monkeypatch.setattr(breaker, "CALLS", 1)
    till = Till(FakeGateway())
    monkeypatch.setattr(till.calls._gateway, "ask", fail)
    await till.take(reserved())
    assert till.calls.breaker.state is State.OPEN


async def test_a_gateway_that_does_not_answer_in_time_counts_as_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_calls, "TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(breaker, "CALLS", 1)
    stuck = FakeGateway()
    stuck.stick()
    till = Till(stuck)
    await till.take(reserved())
    await eventually(lambda: till.calls.breaker.state is State.OPEN)


@pytest.mark.usefixtures("room_for_four")
@pytest.mark.parametrize(("due", "more"), [(0, False), (3, False), (4, True), (5, True)])
async def test_another_turn_follows_only_if_all_room_was_taken(till: Till, due: int, more: bool) -> None:
    await due_payments(till, due)
    assert await till.job.act() is more


@pytest.mark.usefixtures("room_for_four")
async def test_there_is_room_once_half_of_the_calls_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_calls, "ROOM_WITHIN_SECONDS", 60)
    gateway = SlowGateway()
    till = Till(gateway)
    await till.calls.have_room()
    await till.take(*(reserved() for _ in range(4)))
    waiting = asyncio.create_task(till.calls.have_room())
    await gateway.answer(1)
    assert (waiting.done(), till.calls.room) == (False, 1)
    await gateway.answer(1)
    assert (waiting.done(), till.calls.room) == (True, 2)
    await gateway.answer(2)


@pytest.mark.usefixtures("room_for_four")
async def test_due_payments_wait_for_half_the_room_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else new payments, which take what becomes free at once, would keep them waiting for as long as they come."""
    monkeypatch.setattr(gateway_calls, "ROOM_WITHIN_SECONDS", 0.01)
    gateway = SlowGateway()
    till = Till(gateway)
    await till.take(*(reserved() for _ in range(3)))
    async with asyncio.timeout(5):
        await till.calls.have_room()
    assert till.calls.room == 1
    await gateway.answer(3)


@pytest.mark.usefixtures("room_for_four")
async def test_two_transactions_that_count_on_the_same_room_leave_none(till: Till, gateway: FakeGateway) -> None:
    gateway.stick()
    till.calls.make([an_attempt() for _ in range(7)])
    assert till.calls.room == 0
    await till.take(reserved())
    assert till.statuses == {"pending": 1}


async def test_no_attempt_is_made_whose_commit_failed(
    till: Till, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Connection) -> None:
        raise ConnectionError("the database is away")

    await due_payments(till, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "commit", fail)
        with pytest.raises(ConnectionError):
            await till.job.act()
        await turns()
    assert (gateway.asked, till.statuses) == ([], {"pending": 1})
    await till.charge()
    assert (len(gateway.asked), till.statuses) == (1, {"completed": 1})


async def test_a_shutdown_waits_for_the_answers_under_way(till: Till, gateway: FakeGateway) -> None:
    gateway.stick()
    await till.take(reserved())
    stopping = asyncio.create_task(till.calls.stop())
    await turns()
    assert not stopping.done()
    gateway.answer()
    await stopping
    assert till.statuses == {"completed": 1}


async def test_a_shutdown_waits_no_longer_than_a_call_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_calls, "TIMEOUT_SECONDS", 0.01)
    never = asyncio.Event()

    async def apply(_: Answered) -> None:
        await never.wait()

    calls = BackgroundCalls(FakeGateway(), apply)
    calls.make([an_attempt()])
    async with asyncio.timeout(10):
        await calls.stop()
    assert calls.room == MAX_CALLS - 1
    never.set()
    await turns()
    assert calls.room == MAX_CALLS


@pytest.mark.usefixtures("room_for_four")
async def test_a_job_that_waits_for_room_is_stopped_at_once_and_begins_nothing_more(
    till: Till, gateway: FakeGateway
) -> None:
    gateway.stick()
    await due_payments(till, 10)
    await run(till)
    await till.job.stop()
    gateway.answer()
    await till.calls.stop()
    assert till.statuses == {"completed": 4, "pending": 6}


async def test_what_is_cancelled_as_the_process_ends_is_asked_again_under_its_key_by_another(
    till: Till, gateway: FakeGateway
) -> None:
    gateway.stick()
    await till.take(reserved())
    before = till.calls
    for task in [task for task in asyncio.all_tasks() if "BackgroundCalls._call" in repr(task)]:
        task.cancel()
    await turns()
    assert before.room == MAX_CALLS
    till.restart(gateway)
    gateway.answer()
    till.pass_time(LEASE)
    await till.charge()
    assert (gateway.charge_numbers, till.statuses) == (["1", "1"], {"completed": 1})


async def test_an_answer_that_is_lost_is_logged_and_leaves_its_room_to_others(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture, attempts = LogCapture(), [an_attempt() for _ in range(3)]
    monkeypatch.setattr(gateway_calls, "log", structlog.wrap_logger(None, processors=[capture]))
    with till.database_away():
        till.calls.make(attempts)
        await turns()
        assert till.calls.room == MAX_CALLS
    lost = [(line["order"], line["key"]) for line in capture.entries if line["event"] == "answer lost"]
    assert lost == [(str(attempt.order_id), attempt.idempotency_key) for attempt in attempts]
    assert {line["trace_id"] for line in capture.entries} == {trace_id(TRACEPARENT)}


class NotedCalls:
    """A recorder, of which this uses one method."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, dict[str, str]]] = []

    @contextmanager
    def calling(self, what: str, traceparent: str) -> Iterator[dict[str, str]]:
        noted: dict[str, str] = {}
        yield noted
        self.noted.append((what, traceparent, noted))


@pytest.mark.parametrize("answer", Answer)
async def test_each_call_is_traced_in_its_order_s_trace_and_failed_without_an_answer(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, answered = NotedCalls(), list[Answered]()
    monkeypatch.setattr(tracing, "recorder", recorder)

    async def apply(one: Answered) -> None:
        answered.append(one)

    calls, attempt = BackgroundCalls(gateway := SlowGateway(), apply), an_attempt()
    calls.make([attempt])
    await turns()
    gateway.calls[0].set_result(answer)
    await eventually(lambda: answered)
    failed = {} if answer in (Answer.DONE, Answer.DECLINED) else {"error.type": answer}
    noted = {"payment.key": attempt.idempotency_key, "payment.answer": answer} | failed
    assert recorder.noted == [("charge", TRACEPARENT, noted)]


async def test_a_gateway_that_does_not_answer_leaves_the_outcome_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_calls, "TIMEOUT_SECONDS", 0.01)
    stuck, attempt = FakeGateway(), an_attempt()
    stuck.stick()
    applied: asyncio.Queue[Any] = asyncio.Queue()
    BackgroundCalls(stuck, applied.put).make([attempt])
    assert await applied.get() == Answered(attempt, Answer.UNKNOWN)


def test_an_attempt_times_out_before_its_lease_runs_out() -> None:
    assert LEASE.total_seconds() > TIMEOUT_SECONDS * 2


async def test_attempts_are_counted_by_what_was_answered() -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("payment_attempts_total", {"kind": "charge", "answer": "declined"}) or 0

    before = count()
    await Till(FakeGateway(Answer.DECLINED)).take(reserved())
    assert count() == before + 1
