"""Asks the gateway for every payment that is due: no transaction, connection or consumer slot is held meanwhile.

An attempt is in the payment's row, with a lease, before it is made. If this process dies the lease runs out, and
whoever finds it asks again under the same key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from chassis.ports.errors import reason_of
from chassis.ports.ids import uuid7

from application.enter_answers import Answered
from application.ports import PaymentGateway, PaymentUnit
from domain.attempt import Attempt
from domain.payment import Payment

MAX_ATTEMPTS_IN_FLIGHT = 200

log = structlog.get_logger()


class ChargeDue:
    def __init__(self, gateway: PaymentGateway, enter: Callable[[Answered], Awaitable[object]]) -> None:
        self._gateway = gateway
        self._enter = enter
        self._in_flight: set[asyncio.Task[None]] = set()
        self._more_due = False
        self.on_room: Callable[[], None] = lambda: None
        """Called when there is room again and payments were left waiting for it."""

    async def __call__(self, unit: PaymentUnit) -> bool:
        """Begins the attempts that are due, as many as there is room for. False: what is left waits for room."""
        room = self._room()
        due = await unit.payments.locked_due(room) if room else []
        self._more_due = len(due) == room
        self.begin(due, unit)
        await unit.payments.save(due)
        return False

    def begin(self, payments: Sequence[Payment], unit: PaymentUnit) -> None:
        """Enters an attempt in each payment, as far as there is room, and makes it once the unit is committed."""
        room = self._room()
        attempts = [payment.begin_attempt(uuid7(), unit.now) for payment in payments[:room]]
        self._more_due = self._more_due or len(payments) > room
        unit.after_commit(lambda: self._start(attempts))

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        """Waits for the answers to the attempts under way, for as long as a shutdown may take."""
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=10)

    def _room(self) -> int:
        return max(0, MAX_ATTEMPTS_IN_FLIGHT - len(self._in_flight))

    def _start(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            task = asyncio.create_task(self._make(attempt))
            self._in_flight.add(task)
            task.add_done_callback(self._done)

    async def _make(self, attempt: Attempt) -> None:
        try:
            answer = await self._gateway.ask(attempt)
            await self._enter(Answered(attempt, answer))
        except Exception as error:  # the lease runs out, and the attempt is made again under the same key
            log.warning(
                "answer lost", order=str(attempt.order_id), key=attempt.idempotency_key, reason=reason_of(error)
            )

    def _done(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if self._more_due and len(self._in_flight) <= MAX_ATTEMPTS_IN_FLIGHT // 2:
            self._more_due = False
            self.on_room()
