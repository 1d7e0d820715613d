"""The pace of reminders: what is due, once a second for all processes, and nothing while nothing can be sent."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from chassis.ports.ids import uuid7
from chassis.postgres.repository import Mapped, PostgresRepository
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.runtime.reminders import MAX_REMINDERS_A_SECOND, remind
from chassis.runtime.service import Service
from chassis.testing.access import OPEN
from chassis.testing.units import Units
from sqlalchemy import Column, DateTime, MetaData, Table, Text, Uuid
from tests.note_service import TRACE, NoteTaken
from tests.watch import SlowBroker

askers = Table(
    "askers",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("remind_at", DateTime(timezone=True)),
    Column("traceparent", Text, nullable=False),
)


@dataclass
class Asker:
    id: UUID
    kind: str
    remind_at: datetime | None
    traceparent: str = TRACE
    events: list[Any] = field(default_factory=list)
    repeats: list[Any] = field(default_factory=list)

    def remind(self, now: datetime) -> str | None:
        """Asks once more; an asker of the kind "answered" waits for nothing."""
        self.remind_at = None
        if self.kind == "answered":
            return None
        self.repeats.append(NoteTaken(self.id))
        return self.kind


ASKERS = Mapped(askers, Asker, key="id")


class PostgresAskers(PostgresRepository[Asker]):
    mapped = ASKERS


class AskersUnitOfWork(UnitOfWork):
    askers: PostgresAskers

    def open_repositories(self) -> None:
        self.askers = self.tracked(PostgresAskers(self.connection))


@pytest.fixture
def units() -> Units[AskersUnitOfWork]:
    return Units(AskersUnitOfWork)


async def ask(units: Units[AskersUnitOfWork], *kinds: str, in_seconds: float = 0) -> list[UUID]:
    """Askers of these kinds, which are to be reminded then, one after the other."""

    async def add(kinds: Sequence[str], unit: AskersUnitOfWork) -> list[UUID]:
        times = [unit.now + timedelta(seconds=in_seconds, microseconds=n - len(kinds)) for n in range(len(kinds))]
        return [unit.askers.add(Asker(uuid7(), kind, at)).id for kind, at in zip(kinds, times, strict=True)]

    return await units.run(add, kinds)


async def reminded(units: Units[AskersUnitOfWork]) -> None:
    async def act(_: None, unit: AskersUnitOfWork) -> None:
        await remind(unit.askers, unit)

    await units.run(act, None)


async def test_what_is_due_is_said_again_saved_and_counted_by_kind(units: Units[AskersUnitOfWork]) -> None:
    one, other, answered = await ask(units, "one", "other", "answered")
    (later,) = await ask(units, "one", in_seconds=1)
    await reminded(units)
    assert [(told.event.order_id, told.repeat, told.traceparent) for told in units.published] == [
        (one, True, TRACE),
        (other, True, TRACE),
    ]
    assert units.reminders == {"one": 1, "other": 1}
    waiting = {asker.id for asker in units.kept(ASKERS).values() if asker.remind_at}
    assert waiting == {later}, "what an asker decides is saved, also that it waits no longer"
    assert answered not in waiting


async def test_the_oldest_are_reminded_first_and_no_more_than_a_second_may_have(
    units: Units[AskersUnitOfWork],
) -> None:
    ids = await ask(units, *["one"] * (MAX_REMINDERS_A_SECOND + 1))
    await reminded(units)
    assert [event.order_id for event in units.events] == ids[:-1]
    await reminded(units)
    assert len(units.events) == MAX_REMINDERS_A_SECOND
    units.now += timedelta(seconds=1)
    await reminded(units)
    assert [event.order_id for event in units.events] == ids


async def test_a_second_in_which_nothing_is_due_is_left_to_others(units: Units[AskersUnitOfWork]) -> None:
    await ask(units, "one", in_seconds=0.5)
    units.now = units.now.replace(microsecond=0)
    await reminded(units)
    assert units.events == []
    await ask(units, "other")
    await reminded(units)
    assert units.reminders == {"other": 1}


@pytest.mark.parametrize("there", [True, False])
async def test_nothing_is_said_again_while_what_was_said_first_waits_for_the_broker(
    units: Units[AskersUnitOfWork], there: bool
) -> None:
    await ask(units, "one")
    broker = SlowBroker()
    broker.there = there
    service = Service(
        "asking-service", unit_of_work=AskersUnitOfWork, consumed={}, database=units.database, broker=broker, guard=OPEN
    )
    service.reminds(lambda unit: unit.askers)
    job = service.jobs[-1]
    await job.start()
    await asyncio.sleep(0)
    await job.stop()  # after the turn that has begun
    waiting = [asker for asker in units.kept(ASKERS).values() if asker.remind_at]
    assert len(waiting) == (not there)
    broker.confirms.set()
    await service.publisher.stop()
