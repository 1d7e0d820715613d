"""Whoever waits asks again: what nobody has answered is said once more, so that an order has its outcome though the
broker forgets everything that it holds.

Each aggregate keeps when it has to speak next (`remind_at`) and what it then says. Here is only the pace: the oldest
first, and not more than MAX_REMINDERS_A_SECOND, however many processes the service has.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from chassis.outbox import Outbox
from chassis.unit_of_work import Announcing, Unit, UnitOfWork, announce

REMIND_EVERY_SECONDS = 1.0
MAX_REMINDERS_A_SECOND = 200
"""An outage in which a hundred thousand orders waited must not end in as many messages at once."""


class Waiting(Announcing, Protocol):
    """An aggregate that waits for an answer."""

    def remind(self, now: datetime) -> str | None:
        """Notes in `repeats` what is to be said again, and when to ask next; returns which kind of reminder it is, or
        None if there is nothing to be said any more."""


A = TypeVar("A", bound=Waiting)
U = TypeVar("U", bound=UnitOfWork)


class Reminded(Protocol[A]):
    """A repository of them."""

    async def locked_to_remind(self, limit: int) -> list[A]:
        """Those whose `remind_at` has come, the oldest first, locked; what another transaction has is left out."""

    async def save(self, changed: Sequence[A]) -> None: ...


async def remind(waiting: Reminded[A], unit: Unit) -> None:
    """One second's reminders; what is left over waits for the next second."""
    due = await waiting.locked_to_remind(MAX_REMINDERS_A_SECOND)
    if due and await unit.first_this_second():
        for aggregate in due:
            if kind := aggregate.remind(unit.now):
                unit.reminded(kind)
        await waiting.save(due)
        for aggregate in due:
            announce(aggregate, unit)


def reminding(
    outbox: Outbox, units: Callable[[], AbstractAsyncContextManager[U]], waiting: Callable[[U], Reminded[A]]
) -> Callable[[], Awaitable[None]]:
    """A turn of the job that reminds. While nothing leaves the outbox nothing is said again: it would only pile up
    behind what was said first."""

    async def act() -> None:
        if outbox.takes_repeats:
            async with units() as unit:
                await unit.start()
                await remind(waiting(unit), unit)
                await unit.commit()

    return act
