"""Concurrent commands share a transaction; each gets its own result."""

import asyncio
from collections.abc import Sequence
from typing import Self

import pytest
from chassis.ports.errors import Conflict, Unavailable
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.runtime.group_commit import MAX_CONFLICTS, GroupCommit


class Unit(UnitOfWork):
    """Notes its commits; the use case's list is what it was run with."""

    commits = 0
    started = False

    def __init__(self) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def start(self) -> None:
        await asyncio.sleep(0)
        self.started = True

    async def commit(self) -> None:
        type(self).commits += 1


async def test_a_lone_command_waits_for_nobody_and_concurrent_ones_share_the_next_batch() -> None:
    batches: list[list[int]] = []
    begun = asyncio.Event()

    async def double(commands: Sequence[int], unit: Unit) -> list[int | Exception]:
        batches.append(list(commands))
        begun.set()
        await asyncio.sleep(0)
        return [command * 2 for command in commands]

    group = GroupCommit("double", Unit, double)
    first = asyncio.create_task(group.submit(0))
    await begun.wait()
    results = await asyncio.gather(first, *(group.submit(number) for number in range(1, 500)))
    assert results == [number * 2 for number in range(500)]
    assert batches[0] == [0]
    assert [len(batch) for batch in batches] == [1, 200, 200, 99]


async def test_a_refused_command_fails_alone() -> None:
    async def refuse_odd(commands: Sequence[int], unit: Unit) -> list[int | Exception]:
        return [ValueError(command) if command % 2 else command for command in commands]

    group = GroupCommit("refuse_odd", Unit, refuse_odd)
    results = await asyncio.gather(*(group.submit(number) for number in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [int, ValueError, int, ValueError]


async def test_a_command_that_breaks_the_batch_fails_alone() -> None:
    async def break_on_seven(commands: Sequence[int], unit: Unit) -> list[int | Exception]:
        if 7 in commands:
            raise RuntimeError("seven")
        return list(commands)

    group = GroupCommit("break_on_seven", Unit, break_on_seven)
    results = await asyncio.gather(*(group.submit(number) for number in (5, 6, 7, 8)), return_exceptions=True)
    assert [type(result) for result in results] == [int, int, RuntimeError, int]


async def test_a_future_that_a_library_cancels_leaves_no_caller_waiting() -> None:
    async def be_abandoned(commands: Sequence[int], unit: Unit) -> list[int | Exception]:
        if 7 not in commands:
            return list(commands)
        answer: asyncio.Future[list[int | Exception]] = asyncio.get_running_loop().create_future()
        answer.cancel()
        return await answer

    group = GroupCommit("be_abandoned", Unit, be_abandoned)
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="given up"):
            await group.submit(7)
        assert await group.submit(8) == 8


async def test_an_outage_fails_the_whole_batch_once_because_its_commit_may_have_happened() -> None:
    runs = 0

    async def fail(commands: Sequence[int], unit: Unit) -> list[int | Exception]:
        nonlocal runs
        runs += 1
        raise ConnectionResetError

    group = GroupCommit("fail", Unit, fail)
    results = await asyncio.gather(*(group.submit(number) for number in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 3
    assert runs == 1


async def test_a_caller_that_went_away_disturbs_nobody() -> None:
    gate = asyncio.Event()

    async def wait(commands: Sequence[int], unit: Unit) -> list[int | Exception]:
        await gate.wait()
        return list(commands)

    group = GroupCommit("wait", Unit, wait)
    gone, stays = asyncio.create_task(group.submit(1)), asyncio.create_task(group.submit(2))
    await asyncio.sleep(0)
    gone.cancel()
    gate.set()
    assert await stays == 2


async def test_a_result_is_known_once_it_is_committed_in_a_unit_that_has_begun() -> None:
    before = Unit.commits

    async def look(commands: Sequence[int], unit: Unit) -> list[int | Exception]:
        assert unit.started
        return [Unit.commits] * len(commands)

    assert await GroupCommit("look", Unit, look).submit(0) == before
    assert Unit.commits == before + 1


@pytest.mark.parametrize("conflicts", [1, MAX_CONFLICTS - 1, MAX_CONFLICTS])
async def test_a_batch_that_loses_to_another_transaction_is_run_again_but_not_for_ever(conflicts: int) -> None:
    runs: list[int] = []

    async def lose(commands: Sequence[int], unit: Unit) -> list[int | Exception]:
        runs.append(len(commands))
        if len(runs) <= conflicts:
            raise Conflict("lost")
        return list(commands)

    group = GroupCommit("lose", Unit, lose)
    results = await asyncio.gather(*(group.submit(number) for number in range(3)), return_exceptions=True)
    if conflicts < MAX_CONFLICTS:
        assert results == [0, 1, 2]
        assert runs == [3] * (conflicts + 1)
    else:
        assert [type(result) for result in results] == [Unavailable] * 3
        assert runs == [3] * MAX_CONFLICTS


async def test_a_use_case_that_forgets_a_command_fails_before_it_is_committed() -> None:
    before = Unit.commits

    async def forget(commands: Sequence[int], unit: Unit) -> list[int | Exception]:
        return []

    with pytest.raises(ValueError, match="0 results for 1 commands"):
        await GroupCommit("forget", Unit, forget).submit(0)
    assert Unit.commits == before
