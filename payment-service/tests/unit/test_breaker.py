"""The circuit breaker's rules, on a clock that the test moves."""

from datetime import timedelta

import pytest
import structlog
from prometheus_client import REGISTRY
from structlog.testing import LogCapture

from domain.attempt import Answer, Reply
from infrastructure import breaker as module
from infrastructure.breaker import CALLS, Breaker, State

GOOD, BAD = Answer.DONE, Answer.UNAVAILABLE
MOMENT = 0.001


class Gateway:
    """The breaker, and calls that end at once."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.breaker = Breaker(lambda: self.now)

    def answers(self, *answers: Answer, retry_after: float = 0) -> State:
        for answer in answers:
            self.breaker.end(self.breaker.begin(), Reply(answer, timedelta(seconds=retry_after)))
        return self.breaker.state

    def opens(self) -> float:
        """Fails until the breaker is open; how long it then is."""
        while self.breaker.state is not State.OPEN:
            self.answers(BAD)
        return self.open_seconds()

    def open_seconds(self) -> float:
        """How long the breaker stays open; it is half open afterwards."""
        began = self.now
        while self.breaker.state is State.OPEN:
            self.now += 0.125
        return self.now - began


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture(autouse=True)
def jitter(monkeypatch: pytest.MonkeyPatch) -> float:
    jitter = module.JITTER
    monkeypatch.setattr(module, "JITTER", 0)
    return jitter


@pytest.fixture
def half_open(gateway: Gateway) -> Gateway:
    gateway.opens()
    return gateway


@pytest.mark.parametrize("bad", [Answer.UNAVAILABLE, Answer.UNKNOWN])
@pytest.mark.parametrize(("failures", "state"), [(9, State.CLOSED), (10, State.OPEN)])
def test_it_opens_when_half_of_the_last_twenty_calls_failed(
    gateway: Gateway, failures: int, state: State, bad: Answer
) -> None:
    assert gateway.answers(*[GOOD] * (20 - failures), *[bad] * failures) is state


def test_it_stays_closed_while_there_were_fewer_than_twenty_calls(gateway: Gateway) -> None:
    assert gateway.answers(*[BAD] * 19) is State.CLOSED
    assert gateway.answers(BAD) is State.OPEN


def test_failures_before_the_last_twenty_calls_are_forgotten(gateway: Gateway) -> None:
    gateway.answers(*[BAD] * 9, *[GOOD] * 20)
    assert gateway.answers(*[BAD] * 9) is State.CLOSED
    assert gateway.answers(BAD) is State.OPEN


@pytest.mark.parametrize(("seconds", "state"), [(10, State.CLOSED), (10 - MOMENT, State.OPEN)])
def test_calls_that_ended_ten_seconds_ago_are_forgotten(gateway: Gateway, seconds: float, state: State) -> None:
    gateway.answers(BAD)
    gateway.now += seconds
    assert gateway.answers(*[BAD] * 19) is state


@pytest.mark.parametrize("answer", [Answer.DONE, Answer.DECLINED, Answer.ERROR])
def test_a_definite_answer_never_trips_it(gateway: Gateway, answer: Answer) -> None:
    assert gateway.answers(*[answer] * 100, retry_after=30) is State.CLOSED


def test_while_open_nothing_may_begin(gateway: Gateway) -> None:
    assert gateway.breaker.room > 10_000
    assert gateway.answers(*[BAD] * CALLS) is State.OPEN
    assert gateway.breaker.room == 0


def test_it_stays_open_for_five_seconds_and_twice_as_long_each_time_up_to_a_minute(gateway: Gateway) -> None:
    assert [gateway.opens() for _ in range(7)] == [5, 10, 20, 40, 60, 60, 60]


def test_once_it_has_closed_it_opens_for_five_seconds_again(half_open: Gateway) -> None:
    assert half_open.opens() == 10
    assert half_open.answers(*[GOOD] * 7) is State.CLOSED
    assert half_open.opens() == 5


def test_jitter_spreads_replicas_and_only_lengthens(jitter: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JITTER", jitter)
    times = [Gateway().opens() for _ in range(50)]
    assert 5 <= min(times) < max(times) <= 6.125
    assert len(set(times)) > 5


@pytest.mark.parametrize("bad", [Answer.UNAVAILABLE, Answer.UNKNOWN])
@pytest.mark.parametrize("seconds", [1, 30])
def test_a_retry_after_opens_it_at_once_for_that_long(gateway: Gateway, bad: Answer, seconds: float) -> None:
    assert gateway.answers(bad, retry_after=seconds) is State.OPEN
    assert gateway.open_seconds() == seconds
    assert gateway.answers(bad, retry_after=7) is State.OPEN
    assert gateway.open_seconds() == 7
    assert gateway.answers(bad, retry_after=7) is State.OPEN
    assert gateway.open_seconds() == 10, "it shortens nothing"


def test_a_retry_after_counts_even_if_it_comes_late(gateway: Gateway) -> None:
    eras = [gateway.breaker.begin() for _ in range(2)]
    gateway.answers(*[BAD] * CALLS)
    gateway.breaker.end(eras[0], Reply(BAD, timedelta(seconds=17)))
    gateway.breaker.end(eras[1], Reply(BAD, timedelta(seconds=3)))
    assert gateway.open_seconds() == 17


def test_a_retry_after_counts_up_to_five_minutes(gateway: Gateway) -> None:
    gateway.answers(BAD, retry_after=86_400)
    assert gateway.open_seconds() == 300


def test_no_retry_after_is_cut_short_by_jitter(jitter: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JITTER", jitter)
    times = []
    for _ in range(50):
        gateway = Gateway()
        gateway.answers(BAD, retry_after=30)
        times.append(gateway.open_seconds())
    assert 30 <= min(times) < max(times) <= 36.125


def test_half_open_it_lets_one_then_two_then_four_calls_through_then_closes(half_open: Gateway) -> None:
    breaker, rooms = half_open.breaker, []
    while breaker.state is State.HALF_OPEN:
        rooms.append(breaker.room)
        eras = [breaker.begin() for _ in range(int(breaker.room))]
        assert breaker.room == 0
        for era in eras:
            breaker.end(era, Reply(GOOD))
    assert (rooms, breaker.state) == ([1, 2, 4], State.CLOSED)


def test_closed_again_it_goes_on_doubling_so_that_those_who_waited_do_not_come_all_at_once(half_open: Gateway) -> None:
    half_open.answers(*[GOOD] * 7)
    rooms = []
    for _ in range(5):
        rooms.append(half_open.breaker.room)
        half_open.answers(*[GOOD] * int(rooms[-1]))
    assert rooms == [8, 16, 32, 64, 128]


@pytest.mark.parametrize("answer", [Answer.ERROR, Answer.DECLINED])
def test_half_open_every_definite_answer_is_a_good_one(half_open: Gateway, answer: Answer) -> None:
    assert half_open.answers(*[answer] * 6) is State.HALF_OPEN
    assert half_open.answers(answer) is State.CLOSED


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ([BAD], State.OPEN),
        ([GOOD, BAD], State.OPEN),
        ([GOOD, GOOD, BAD], State.HALF_OPEN),
        ([GOOD, GOOD, BAD, GOOD, BAD, BAD], State.OPEN),
    ],
)
def test_half_open_it_opens_again_when_half_of_the_probes_failed(
    half_open: Gateway, answers: list[Answer], state: State
) -> None:
    assert half_open.answers(*answers) is state


def test_calls_from_before_it_opened_say_nothing_when_it_is_half_open(gateway: Gateway) -> None:
    before = [gateway.breaker.begin() for _ in range(40)]
    gateway.opens()
    for number, era in enumerate(before):
        gateway.breaker.end(era, Reply(GOOD if number % 2 else BAD))
    assert (gateway.breaker.state, gateway.breaker.room) == (State.HALF_OPEN, 1)


def test_calls_that_end_while_it_is_open_neither_close_nor_prolong_it(gateway: Gateway) -> None:
    eras = [gateway.breaker.begin() for _ in range(40)]
    gateway.answers(*[BAD] * CALLS)
    for number, era in enumerate(eras):
        gateway.breaker.end(era, Reply(GOOD if number % 2 else BAD))
    assert gateway.open_seconds() == 5


def test_closed_again_it_takes_twenty_calls_to_open_it(half_open: Gateway) -> None:
    half_open.answers(*[GOOD] * 7)
    half_open.now += 60
    assert half_open.answers(*[BAD] * 19) is State.CLOSED
    assert half_open.answers(BAD) is State.OPEN


def test_its_state_is_logged_when_it_changes_and_only_then(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = LogCapture()
    monkeypatch.setattr(module, "log", structlog.wrap_logger(None, processors=[capture]))
    gateway.answers(*[BAD] * 100)
    gateway.open_seconds()
    gateway.answers(BAD, BAD)
    gateway.open_seconds()
    gateway.answers(*[GOOD] * 100)
    assert [(line["log_level"], line["state"], line.get("seconds")) for line in capture.entries] == [
        ("warning", "open", 5),
        ("info", "half_open", None),
        ("warning", "open", 10),
        ("info", "half_open", None),
        ("info", "closed", None),
    ]


def test_its_state_is_a_metric(gateway: Gateway) -> None:
    def state() -> float | None:
        return REGISTRY.get_sample_value("payment_breaker_state")

    gateway.answers(*[BAD] * CALLS)
    assert state() == 2
    gateway.open_seconds()
    assert state() == 1
    gateway.answers(*[GOOD] * 7)
    assert state() == 0
