"""Jobs: when their turns come, what they outlive, and what they say of themselves. Time is virtual here."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from chassis.ports import errors
from chassis.ports.errors import Conflict, Unavailable, survived
from chassis.runtime import jobs
from chassis.runtime.jobs import LATE_AFTER_SECONDS, RETRY_WITHIN_SECONDS, TURN_MAY_TAKE_SECONDS, Periodic


class VirtualTime(asyncio.SelectorEventLoop):
    """Never waits: when nothing is left to do, it is at once as late as the next timer says."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._leaps = 0
        select = self._selector.select  # type: ignore[attr-defined]

        def leap(timeout: float | None) -> object:
            self._leaps += 1
            assert timeout is not None, "nothing will ever happen again"
            assert self._leaps < 100_000, "time stands still"
            self._now += timeout
            return select(0)

        self._selector.select = leap  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualTime) as runner:
            runner.run(test(*arguments, **fixtures))

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


class Turns:
    """An act that notes when its turns began and ended; each meets the next fate, and the last one is met for ever:
    seconds that it takes, something that it raises, or something that it does."""

    def __init__(self, *fates: float | BaseException | Callable[[], Awaitable[None]]) -> None:
        self._fates = list(fates or [0.0])
        self.began: list[float] = []
        self.ended: list[float] = []

    async def __call__(self) -> None:
        self.began.append(now())
        fate = self._fates.pop(0) if len(self._fates) > 1 else self._fates[0]
        if isinstance(fate, BaseException):
            raise fate
        if callable(fate):
            await fate()
        else:
            await asyncio.sleep(fate)
        self.ended.append(now())


class Lines:
    """A log in memory, of the first words of each line."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def warning(self, line: str, **_: object) -> None:
        self.warnings.append(line)

    def exception(self, line: str) -> None:
        self.errors.append(line)


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    lines = Lines()
    for module in (jobs, errors):
        monkeypatch.setattr(module, "log", lines)
    return lines


async def forever() -> None:
    await asyncio.Event().wait()


async def ignore_cancellation() -> None:
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            continue


class Panic(BaseException):
    """As extensions written in Rust raise."""


class Stopped:
    """A job that was stopped, so that the test leaves no task behind."""

    def __init__(self, job: Periodic) -> None:
        self._job = job

    async def __aenter__(self) -> Periodic:
        await self._job.start()
        return self._job

    async def __aexit__(self, *_: object) -> None:
        await self._job.stop()
        _forget(self._job)


@in_virtual_time
async def test_a_job_runs_at_once_and_then_after_each_interval_and_up_to_a_tenth_more() -> None:
    turns = Turns()
    async with Stopped(Periodic("job", 10, turns)):
        await asyncio.sleep(1000)
    assert turns.began[0] == 0
    gaps = [after - before for before, after in zip(turns.began, turns.began[1:], strict=False)]
    assert len(gaps) > 80
    assert all(9.999 < gap < 11.001 for gap in gaps)
    assert max(gaps) - min(gaps) > 0.3, "else replicas that start together sweep together"


@in_virtual_time
async def test_a_job_that_is_woken_begins_its_next_turn_now() -> None:
    turns = Turns()
    async with Stopped(Periodic("job", 1000, turns)) as job:
        await asyncio.sleep(7)
        job.wake()
        await asyncio.sleep(900)
    assert turns.began == [0, 7]


@pytest.mark.parametrize("fate", [10.0, RuntimeError("at its end")], ids=["ends well", "fails"])
@in_virtual_time
async def test_a_job_that_is_woken_during_a_turn_begins_the_next_one_right_after_it(
    fate: float | BaseException,
) -> None:
    async def last() -> None:
        await asyncio.sleep(10)
        if isinstance(fate, BaseException):
            raise fate

    turns = Turns(last, 0.0)
    async with Stopped(Periodic("job", 1000, turns)) as job:
        await asyncio.sleep(3)
        job.wake()
        job.wake()
        await asyncio.sleep(50)
    assert turns.began == [0, 10]


@in_virtual_time
async def test_a_job_that_wakes_itself_as_its_turn_ends_goes_on() -> None:
    async def wake() -> None:
        job.wake()

    turns = Turns(wake, wake, 0.0)
    job = Periodic("job", 1000, turns)
    async with Stopped(job):
        await asyncio.sleep(50)
    assert turns.began == [0, 0, 0]


@in_virtual_time
async def test_while_there_may_be_more_to_do_the_next_turn_follows_at_once() -> None:
    began: list[float] = []

    async def act() -> bool:
        began.append(now())
        return len(began) < 4

    async with Stopped(Periodic("job", 1000, act)):
        await asyncio.sleep(50)
    assert began == [0, 0, 0, 0]


@in_virtual_time
async def test_the_turn_that_does_the_rest_waits_until_it_may() -> None:
    began: list[float] = []

    async def act() -> bool:
        began.append(now())
        return len(began) < 3

    async def a_while() -> None:
        await asyncio.sleep(7)

    async with Stopped(Periodic("job", 1000, act, after=a_while)):
        await asyncio.sleep(50)
    assert began == [0, 7, 14]


@in_virtual_time
async def test_a_job_that_has_more_to_do_for_hours_is_well_and_no_turn_is_cut_off(lines: Lines) -> None:
    async def act() -> bool:
        await asyncio.sleep(1)
        return True

    async def a_while() -> None:
        await asyncio.sleep(LATE_AFTER_SECONDS - 2)

    async with Stopped(Periodic("job", 0.5, act, after=a_while)) as job:
        for _ in range(1000):
            await asyncio.sleep(10)
            assert (await job.problem(), await job.lost()) == (None, None)
    assert (lines.errors, lines.warnings) == ([], [])


@pytest.mark.parametrize(("at", "stopped_at"), [(2, 5), (7, 7)], ids=["in its turn", "between turns"])
@in_virtual_time
async def test_a_job_that_is_stopped_leaves_the_rest_to_another_process(at: float, stopped_at: float) -> None:
    turns: list[None] = []

    async def act() -> bool:
        turns.append(None)
        await asyncio.sleep(5)
        return True

    job = Periodic("job", 1000, act, after=forever)
    await job.start()
    await asyncio.sleep(at)
    await job.stop()
    assert (len(turns), now()) == (1, stopped_at)


@in_virtual_time
async def test_a_job_that_can_not_tell_when_to_do_the_rest_waits_for_its_interval(lines: Lines) -> None:
    began: list[float] = []

    async def act() -> bool:
        began.append(now())
        return True

    async def fail() -> None:
        raise RuntimeError

    async with Stopped(Periodic("job", 10, act, after=fail)):
        await asyncio.sleep(15)
    assert (len(began), lines.errors) == (2, ["job failed"] * 2)


@in_virtual_time
async def test_a_job_that_is_stopped_ends_its_turn_and_begins_no_other() -> None:
    turns = Turns(5.0)
    job = Periodic("job", 1, turns)
    await job.start()
    await asyncio.sleep(2)
    await job.stop()
    assert (turns.ended, now()) == ([5], 5)
    await asyncio.sleep(100)
    assert turns.began == [0]
    await job.stop()
    assert now() == 105, "a second stop has nothing to wait for"


@in_virtual_time
async def test_a_job_that_waits_for_its_next_turn_stops_at_once() -> None:
    job = Periodic("job", 1000, Turns())
    await job.start()
    await asyncio.sleep(2)
    await job.stop()
    assert now() == 2


@pytest.mark.parametrize(("hanging", "seconds"), [(forever, 10), (ignore_cancellation, 15)])
@in_virtual_time
async def test_a_turn_that_hangs_does_not_keep_its_job_from_stopping(
    hanging: Callable[[], Awaitable[None]], seconds: float
) -> None:
    job = Periodic("job", 1, Turns(hanging))
    await job.start()
    await asyncio.sleep(0)
    await job.stop()
    assert now() == seconds
    _forget(job)


@in_virtual_time
async def test_a_job_that_was_never_started_says_so_and_can_be_stopped() -> None:
    job = Periodic("job", 1, Turns())
    assert await job.problem() == "job: not started"
    await job.stop()
    await job.stop()


@in_virtual_time
async def test_a_turn_that_fails_is_logged_each_time_and_tried_again(lines: Lines) -> None:
    turns = Turns(RuntimeError("one"), RuntimeError("two"), 0.0)
    async with Stopped(Periodic("job", 5, turns)):
        await asyncio.sleep(20)
    assert len(turns.ended) >= 1
    assert lines.errors == ["job failed"] * 2


@in_virtual_time
async def test_an_outage_is_told_once_until_it_is_over(lines: Lines) -> None:
    away, lost = OSError("cut"), Conflict("lost")
    turns = Turns(away, away, lost, 0.0, Unavailable("told elsewhere"), away, 0.0, lost, 0.0)
    async with Stopped(Periodic("job", 5, turns)):
        await asyncio.sleep(100)
    assert len(turns.ended) > 3, "neither an outage nor a conflict ends a job"
    assert lines.warnings == ["job: not now"] * 2
    assert lines.errors == []


def _cancel_what_has_ended() -> Callable[[], Awaitable[None]]:
    """As a time-out does that expires in the moment in which what it bounds has ended: up to Python 3.12 the next wait
    is interrupted by it."""

    async def late() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        task.uncancel()

    return late


@pytest.mark.parametrize(
    "fate",
    [
        asyncio.CancelledError(),
        BaseExceptionGroup("both", [asyncio.CancelledError(), Panic()]),
        RecursionError(),
        MemoryError(),
        Panic(),
        _cancel_what_has_ended(),
    ],
    ids=["a future cancelled by a library", "a group", "recursion", "memory", "a panic", "a late time-out"],
)
@in_virtual_time
async def test_nothing_that_a_turn_raises_ends_its_job(fate: Any) -> None:
    turns = Turns(fate, 0.0)
    async with Stopped(Periodic("job", 5, turns)) as job:
        await asyncio.sleep(20)
        assert await job.lost() is None
    assert len(turns.ended) >= 2


@pytest.mark.parametrize("error", [RuntimeError("a defect"), OSError("an outage")])
@in_virtual_time
async def test_a_line_that_can_not_be_logged_does_not_end_a_job(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (jobs, errors):
        monkeypatch.setattr(module, "log", None)  # whatever is asked of it raises
    turns = Turns(error, 0.0)
    async with Stopped(Periodic("job", 5, turns)):
        await asyncio.sleep(20)
    assert len(turns.ended) >= 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_process_is_not_survived(error: type[BaseException]) -> None:
    with pytest.raises(error), survived("a round"):
        raise error


@in_virtual_time
async def test_a_task_that_is_cancelled_ends_and_its_job_says_that_it_is_lost(lines: Lines) -> None:
    job = Periodic("job", 5, Turns(forever))
    await job.start()
    await asyncio.sleep(1)
    assert job._task is not None
    job._task.cancel()
    await asyncio.sleep(1)
    assert await job.lost() == "job: its loop has ended"
    await asyncio.sleep(LATE_AFTER_SECONDS)
    assert await job.problem() is not None
    assert lines.errors == []


@in_virtual_time
async def test_a_turn_that_hangs_shows_is_cut_off_and_logged_and_the_next_one_comes(lines: Lines) -> None:
    turns = Turns(forever, 0.0)
    await asyncio.sleep(1000)  # the process may be older than its job
    async with Stopped(Periodic("job", 1, turns)) as job:
        await asyncio.sleep(LATE_AFTER_SECONDS - 1)
        assert await job.problem() is None
        await asyncio.sleep(2)
        assert await job.problem() == f"job: no turn has ended well for {LATE_AFTER_SECONDS + 1:.0f} s"
        await asyncio.sleep(TURN_MAY_TAKE_SECONDS)
        assert len(turns.ended) > 1
        assert (await job.problem(), await job.lost()) == (None, None)
    assert lines.errors == ["job failed"]


@in_virtual_time
async def test_a_turn_that_ignores_its_cancellation_is_lost() -> None:
    async with Stopped(Periodic("job", 1, Turns(ignore_cancellation))) as job:
        await asyncio.sleep(TURN_MAY_TAKE_SECONDS + 10)
        assert await job.lost() is None
        await asyncio.sleep(TURN_MAY_TAKE_SECONDS)
        assert await job.lost() == "job: a turn does not end, though it was cancelled"


@pytest.mark.parametrize(("every_seconds", "late_after_seconds"), [(0.5, 20), (5, 20), (10, 30), (600, 1800)])
@in_virtual_time
async def test_a_job_is_late_when_no_turn_has_ended_well_for_several_intervals(
    every_seconds: float, late_after_seconds: float
) -> None:
    well = True

    async def act() -> None:
        if not well:
            raise RuntimeError("each time")

    async with Stopped(Periodic("job", every_seconds, act)) as job:
        for _ in range(100):
            await asyncio.sleep(every_seconds / 3)
            assert (await job.problem(), await job.lost()) == (None, None)
        well = False
        await asyncio.sleep(late_after_seconds - 1.2 * every_seconds)
        assert await job.problem() is None
        await asyncio.sleep(1.3 * every_seconds)
        assert await job.problem() is not None
        well = True
        await asyncio.sleep(min(every_seconds, RETRY_WITHIN_SECONDS) * 1.2)
        assert await job.problem() is None, "a rare job that failed is tried again sooner"


@in_virtual_time
async def test_a_job_whose_server_is_away_is_not_late_for_that_has_a_check_of_its_own() -> None:
    turns = Turns(Unavailable("away"))
    async with Stopped(Periodic("job", 1, turns)) as job:
        await asyncio.sleep(1000)
        assert await job.problem() is None
    assert len(turns.began) > 800


def _forget(job: Periodic) -> None:
    """Lets the loop close though a turn of the job never ends."""
    assert job._task is not None
    if not job._task.done():
        job._task.get_coro().close()
