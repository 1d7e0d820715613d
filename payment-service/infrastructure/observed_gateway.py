"""A line in the log and a count for each attempt, and a bound on how long it may take, whatever the gateway behind."""

import asyncio
import time

import structlog
from prometheus_client import Counter

from application.ports import PaymentGateway
from domain.attempt import Answer, Attempt

TIMEOUT_SECONDS = 10.0
"""Well below the lease of an attempt, so that its own worker is the first to ask again."""

PAYMENT_ATTEMPTS = Counter("payment_attempts", "Calls of the payment gateway", ("kind", "answer"))

log = structlog.get_logger()


class ObservedGateway:
    def __init__(self, gateway: PaymentGateway) -> None:
        self._gateway = gateway

    async def ask(self, attempt: Attempt) -> Answer:
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
