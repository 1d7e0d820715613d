"""A tiny service: it reads one kind of event, takes a note of each, and says so. It stands for whatever is built on the
chassis."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from uuid import UUID

import httpx
from chassis.messaging.envelope import Decoder
from chassis.messaging.topology import Queue
from chassis.ports.events import Received
from chassis.ports.ids import uuid7
from chassis.postgres.database import Database
from chassis.postgres.repository import Mapped, PostgresRepository
from chassis.postgres.tables import service_metadata
from chassis.postgres.unit_of_work import UnitOfWork
from sqlalchemy import Column, Table, Text, Uuid, text

SERVICE = "note-service"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

metadata = service_metadata(idempotency_keys=True)
notes = Table(
    "notes",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("traceparent", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class NoteTaken:
    name: ClassVar[str] = "NoteTaken"

    order_id: UUID


@dataclass(frozen=True, slots=True)
class ThingHappened:
    order_id: UUID


CONSUMED: dict[str, type] = {"ThingHappened": ThingHappened}
DECODER = Decoder(CONSUMED)
QUEUE = Queue(SERVICE, list(CONSUMED))


@dataclass
class Note:
    order_id: UUID
    traceparent: str = TRACE
    events: list[Any] = field(default_factory=list)
    repeats: list[Any] = field(default_factory=list)

    @classmethod
    def take(cls, order_id: UUID) -> Self:
        return cls(order_id, events=[NoteTaken(order_id)])


NOTES = Mapped(notes, Note, key="order_id")


class PostgresNotes(PostgresRepository[Note]):
    mapped = NOTES


class NotesUnitOfWork(UnitOfWork):
    notes: PostgresNotes

    def open_repositories(self) -> None:
        self.notes = self.tracked(PostgresNotes(self.connection))


async def take_notes(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
    """The use case: one row and one event for each order that something happened to; a row twice is an error."""
    order_ids = [event.data.order_id for event in events]
    if known := await unit.notes.locked(order_ids):
        raise ValueError(f"there is a note already of {', '.join(map(str, known))}")
    for order_id in order_ids:
        unit.notes.add(Note.take(order_id))


async def noted(database: Database) -> set[UUID]:
    async with database.autocommit() as connection:
        return set((await connection.execute(text("SELECT order_id FROM notes"))).scalars())


async def outbox_size(database: Database) -> int:
    async with database.autocommit() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM outbox"))).scalar_one())


def happened(order_id: UUID | None = None, event_id: UUID | None = None, **changes: object) -> dict[str, object]:
    """The envelope of an event that the service reads."""
    order = str(order_id or uuid7())
    return {
        "specversion": "1.0",
        "id": str(event_id or uuid7()),
        "type": "ThingHappened",
        "source": "thing-service",
        "subject": order,
        "traceparent": TRACE,
        "data": {"order_id": order},
        **changes,
    }


def red_checks(answer: httpx.Response) -> dict[str, str]:
    """What fails, and why; the status must agree."""
    checks = answer.json()["checks"]
    red = {name: check["detail"] for name, check in checks.items() if check["status"] != "ok"}
    assert answer.status_code == (503 if red else 200)
    assert answer.json()["status"] == ("failing" if red else "ok")
    return red
