"""A payment gateway that answers as it is told. It passes the suite of every gateway: unit/test_gateways.py."""

import asyncio
from datetime import timedelta

from domain.attempt import Answer, Attempt, Reply


class FakeGateway:
    """Answers with what it was told to, one after the other, and the last of it for ever; while it is stuck, it
    answers nobody."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers) or [Answer.DONE]
        self.retry_after = timedelta(0)
        """Which every answer bears."""
        self._free = asyncio.Event()
        self._free.set()
        self.asked: list[Attempt] = []

    async def ask(self, attempt: Attempt) -> Reply:
        self.asked.append(attempt)
        await self._free.wait()
        return Reply(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0], self.retry_after)

    def stick(self) -> None:
        self._free.clear()

    def answer(self) -> None:
        self._free.set()

    @property
    def charge_numbers(self) -> list[str]:
        """What follows the payment's id in the keys, in the order in which they came."""
        return [attempt.idempotency_key.partition(":")[2] for attempt in self.asked]
