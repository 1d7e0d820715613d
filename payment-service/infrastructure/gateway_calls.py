"""Calls of the payment gateway, each in a task of its own, as many as the circuit breaker lets begin.

Two transactions that begin attempts at the same time count on the same room, so there may briefly be twice MAX_CALLS.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from itertools import product

import structlog
from chassis.ports import tracing
from chassis.ports.errors import reason_of
from chassis.ports.tracing import trace_id
from prometheus_client import Counter

from application.charge_payments import Answered
from application.ports import PaymentGateway
from domain.attempt import Answer, Attempt, Kind, Reply
from infrastructure.breaker import Breaker, State

MAX_CALLS = 200
ROOM_WITHIN_SECONDS = 0.5
TIMEOUT_SECONDS = 10.0
"""Well below an attempt's lease, so that an attempt ends before the next one begins."""

PAYMENT_ATTEMPTS = Counter("payment_attempts", "Calls of the payment gateway", ("kind", "answer"))
for _labels in product(Kind, Answer):
    PAYMENT_ATTEMPTS.labels(*_labels)  # otherwise a first failure would be no increase
HELD_BACK = Counter("payment_attempts_held_back", "Calls that the circuit breaker kept from beginning at once")

log = structlog.get_logger()


class BackgroundCalls:
    def __init__(self, gateway: PaymentGateway, apply: Callable[[Answered], Awaitable[object]]) -> None:
        self._gateway = gateway
        self._apply = apply
        self._under_way: set[asyncio.Task[None]] = set()
        self.breaker = Breaker(lambda: asyncio.get_running_loop().time())

    @property
    def room(self) -> int:
        return int(max(0, min(MAX_CALLS - len(self._under_way), self.breaker.room)))

    @property
    def are_probes(self) -> bool:
        return self.breaker.state is not State.CLOSED

    def hold_back(self, number: int) -> None:
        HELD_BACK.inc(number)

    async def have_room(self) -> None:
        """Returns when as many calls may begin as are under way, but after ROOM_WITHIN_SECONDS in any case, because new
        payments may take what becomes free for as long as they come, and an open breaker lets nothing begin."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ROOM_WITHIN_SECONDS):
                while self.room < max(1, len(self._under_way)):
                    if self._under_way:
                        await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
                    else:
                        await asyncio.sleep(ROOM_WITHIN_SECONDS)

    def make(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            task = asyncio.create_task(self._call(attempt, self.breaker.begin()))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        """Waits until the answers to present calls are applied, but no longer than a call may take."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=TIMEOUT_SECONDS)

    async def _call(self, attempt: Attempt, era: int) -> None:
        try:
            await self._apply(Answered(attempt, await self._ask(attempt, era)))
        except Exception as error:  # the lease runs out, and the attempt is made again under the same key
            log.warning("answer lost", reason=reason_of(error), **_names(attempt))

    async def _ask(self, attempt: Attempt, era: int) -> Answer:
        began, reply = time.perf_counter(), Reply(Answer.UNKNOWN)
        recorder, nothing = tracing.recorder, nullcontext[dict[str, str]]({})
        with nothing if recorder is None else recorder.calling(attempt.kind, attempt.traceparent) as noted:
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        reply = await self._gateway.ask(attempt)
            finally:
                self.breaker.end(era, reply)
            answer = reply.answer
            noted |= {"payment.key": attempt.idempotency_key, "payment.answer": answer}
            if answer not in (Answer.DONE, Answer.DECLINED):
                noted["error.type"] = answer
        PAYMENT_ATTEMPTS.labels(attempt.kind, answer).inc()
        log.info(
            "payment attempt",
            kind=attempt.kind,
            answer=answer,
            ms=round((time.perf_counter() - began) * 1000, 1),
            **_names(attempt),
        )
        return answer


def _names(attempt: Attempt) -> dict[str, str]:
    order, trace = str(attempt.order_id), trace_id(attempt.traceparent)
    return {"order": order, "trace_id": trace, "key": attempt.idempotency_key}
