"""Whoever waits asks again: what nobody has answered is said once more, so that an order has its outcome though the
broker forgets everything that it holds.

Each aggregate keeps when it has to speak next (`remind_at`) and what it then says. This module keeps the pace: the
oldest first, and at most MAX_REMINDERS_A_SECOND, however many processes the service has.
"""

from chassis.ports.unit_of_work import Reminded, Unit, Waiting

REMIND_EVERY_SECONDS = 1.0
MAX_REMINDERS_A_SECOND = 200
"""An outage in which a hundred thousand orders waited must not end in as many messages at once."""


async def remind(waiting: Reminded[Waiting], unit: Unit) -> None:
    """One second's reminders; what is left over waits for the next second."""
    due = await waiting.locked_to_remind(MAX_REMINDERS_A_SECOND)
    if due and await unit.first_this_second():
        for aggregate in due:
            if kind := aggregate.remind(unit.now):
                unit.reminded(kind)
