"""Reminders: what waits for an answer repeats its event, so each order is decided even if the broker loses everything.

Each aggregate decides when to repeat what (`remind_at`, `remind`). This module sets the pace for all processes of the
service: the oldest first, and MAX_REMINDERS_A_SECOND at most.
"""

from datetime import datetime
from typing import Protocol, TypeVar

from chassis.ports.unit_of_work import Unit
from chassis.postgres.repository import PostgresRepository

REMIND_EVERY_SECONDS = 1.0
MAX_REMINDERS_A_SECOND = 200
"""After an outage during which a hundred thousand orders waited, they must not all repeat their events at once."""


class Remindable(Protocol):
    def remind(self, now: datetime) -> str | None:
        """Notes the event to repeat and when to do so again. Returns the reminder's kind; None if no answer is due."""


R = TypeVar("R", bound=Remindable)


async def remind(repository: PostgresRepository[R], unit: Unit) -> None:
    """Sends one second's reminders; the rest wait for the next second."""
    due = await repository.locked_to_remind(MAX_REMINDERS_A_SECOND)
    if due and await unit.first_this_second():
        for aggregate in due:
            if kind := aggregate.remind(unit.now):
                unit.reminded(kind)
