"""The pace of reminders: what is due, once a second for all processes, and nothing while nothing can be sent."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from chassis.ports.ids import uuid7
from chassis.messaging.publisher import Outbox
from chassis.runtime.reminders import MAX_REMINDERS_A_SECOND, remind, reminding
from chassis.testing import MemoryUnit
from tests.note_service import TRACE, Noted

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass
class Asker:
    kind: str | None = "asker"
    traceparent: str = TRACE
    events: list[Any] = field(default_factory=list)
    repeats: list[Any] = field(default_factory=list)

    def remind(self, now: datetime) -> str | None:
        assert now == NOW
        if self.kind:
            self.repeats.append(Noted(uuid7()))
        return self.kind


@dataclass
class Askers:
    due: list[Asker]
    saved: list[Asker] = field(default_factory=list)
    asked_for: int = 0

    async def locked_to_remind(self, limit: int) -> list[Asker]:
        self.asked_for = limit
        return self.due

    async def save(self, changed: Sequence[Asker]) -> None:
        self.saved += changed


@dataclass
class Sender:
    takes_repeats: bool


async def test_what_is_due_is_said_again_saved_and_counted_by_kind() -> None:
    askers, unit = Askers([Asker(), Asker("other"), Asker(None)]), MemoryUnit(now=NOW)
    await remind(askers, unit)
    assert askers.asked_for == MAX_REMINDERS_A_SECOND
    assert askers.saved == askers.due
    assert [(told.repeat, told.traceparent) for told in unit.published] == [(True, TRACE)] * 2
    assert unit.reminders == {"asker": 1, "other": 1}
    assert [asker.repeats for asker in askers.due] == [[], [], []]


async def test_a_second_that_another_unit_has_is_left_to_it() -> None:
    askers = Askers([Asker()])
    unit = MemoryUnit(now=NOW, seconds={int(NOW.timestamp())})
    await remind(askers, unit)
    assert (askers.saved, unit.published, unit.reminders) == ([], [], {})


async def test_a_second_in_which_nothing_is_due_is_left_to_others() -> None:
    unit = MemoryUnit(now=NOW)
    await remind(Askers([]), unit)
    assert unit.seconds == set()


class StartedUnit(MemoryUnit):
    async def start(self) -> None: ...

    async def commit(self) -> None: ...  # type: ignore[override]


@pytest.mark.parametrize("takes_repeats", [True, False])
async def test_nothing_is_said_again_while_what_was_said_first_waits_for_the_broker(takes_repeats: bool) -> None:
    askers, unit = Askers([Asker()]), StartedUnit(now=NOW)

    @asynccontextmanager
    async def units() -> AsyncIterator[Any]:
        yield unit

    await reminding(cast(Outbox, Sender(takes_repeats)), units, lambda _: askers)()
    assert len(unit.published) == takes_repeats
