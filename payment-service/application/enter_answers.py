"""Enters what the gateway answered in the payments, as they are by now, and tells the other services."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from chassis.ports.unit_of_work import announce

from application.ports import PaymentUnit
from domain.attempt import Answer, Attempt


@dataclass(frozen=True, slots=True)
class Answered:
    attempt: Attempt
    answer: Answer


class EnterAnswers:
    """`retry_delays` are the waits after the first, second, ... definite error; after the last one a payment fails."""

    def __init__(self, retry_delays: Sequence[timedelta]) -> None:
        self._retry_delays = retry_delays

    async def __call__(self, answers: Sequence[Answered], unit: PaymentUnit) -> list[bool | Exception]:
        """For each answer whether it counted: a stale one does not."""
        payments = await unit.payments.locked([answered.attempt.order_id for answered in answers])
        results: list[bool | Exception] = [
            payments[answered.attempt.order_id].apply(answered.attempt, answered.answer, self._retry_delays, unit.now)
            for answered in answers
        ]
        await unit.payments.save(list(payments.values()))
        for payment in payments.values():
            announce(payment, unit)
        return results
