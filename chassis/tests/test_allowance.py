"""How many requests a customer may send."""

import pytest
from chassis.http import allowance
from chassis.http.allowance import AT_ONCE_SECONDS, REQUESTS_A_SECOND, Allowance

BURST = AT_ONCE_SECONDS * REQUESTS_A_SECOND


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_whoever_was_quiet_may_send_a_burst_and_then_so_many_a_second() -> None:
    clock = Clock()
    allowed = Allowance(clock)
    assert [allowed.take("one") for _ in range(BURST)] == [0] * BURST
    assert allowed.take("one") == pytest.approx(1 / REQUESTS_A_SECOND)
    assert allowed.take("another") == 0, "each caller has its own"
    clock.now += 1.001
    answers = [allowed.take("one") for _ in range(REQUESTS_A_SECOND + 1)]
    assert answers[:-1] == [0] * REQUESTS_A_SECOND
    assert answers[-1] > 0
    clock.now += 2 * AT_ONCE_SECONDS
    assert [allowed.take("one") for _ in range(BURST + 1)].count(0) == BURST, "an allowance isn't saved up for longer"


def test_callers_of_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "MAX_CALLERS", 3)
    clock = Clock()
    allowed = Allowance(clock)
    for name in ("a", "b", "c"):
        allowed.take(name)
    clock.now += 60
    allowed.take("d")
    assert allowed._paid_until.keys() == {"d"}
