"""Calls of the payment gateway, each in a task of its own.

Two transactions that begin attempts at the same time count on the same room, so there may briefly be twice MAX_CALLS.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog
from chassis.ports.errors import reason_of
from prometheus_client import Counter

from application.charge_payments import Answered
from application.ports import PaymentGateway
from domain.attempt import Answer, Attempt

MAX_CALLS = 200
ROOM_WITHIN_SECONDS = 0.5
TIMEOUT_SECONDS = 10.0
"""Well below an attempt's lease, so that an attempt ends before the next one begins."""

PAYMENT_ATTEMPTS = Counter("payment_attempts", "Calls of the payment gateway", ("kind", "answer"))

log = structlog.get_logger()


class BackgroundCalls:
    def __init__(self, gateway: PaymentGateway, apply: Callable[[Answered], Awaitable[object]]) -> None:
        self._gateway = gateway
        self._apply = apply
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def room(self) -> int:
        return max(0, MAX_CALLS - len(self._under_way))

    async def have_room(self) -> None:
        """Returns when half of MAX_CALLS may begin, but after ROOM_WITHIN_SECONDS in any case, because new payments may
        take what becomes free for as long as they come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ROOM_WITHIN_SECONDS):
                while self.room < MAX_CALLS // 2:
                    await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    def make(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            task = asyncio.create_task(self._call(attempt))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        """Waits until the answers to present calls are applied, but no longer than a call may take."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=TIMEOUT_SECONDS)

    async def _call(self, attempt: Attempt) -> None:
        try:
            await self._apply(Answered(attempt, await self._ask(attempt)))
        except Exception as error:  # the lease runs out, and the attempt is made again under the same key
            order, key = str(attempt.order_id), attempt.idempotency_key
            log.warning("answer lost", order=order, key=key, reason=reason_of(error))

    async def _ask(self, attempt: Attempt) -> Answer:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await self._gateway.ask(attempt)
        except TimeoutError:
            answer = Answer.UNKNOWN
        PAYMENT_ATTEMPTS.labels(attempt.kind, answer).inc()
        log.info(
            "payment attempt",
            kind=attempt.kind,
            answer=answer,
            order=str(attempt.order_id),
            key=attempt.idempotency_key,
            ms=round((time.perf_counter() - began) * 1000, 1),
        )
        return answer
