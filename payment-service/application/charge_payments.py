"""Charges and refunds: begins the attempts that are due, and applies the gateway's answers.

An attempt and its lease are committed before the gateway is asked, outside of any transaction. If the process dies
before it applies the answer, the lease runs out, and another process asks again under the same key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from chassis.ports.ids import uuid7

from application.ports import GatewayCalls, PaymentUnit
from domain.attempt import Answer, Attempt
from domain.payment import Payment


class ChargePayments:
    def __init__(self, calls: GatewayCalls) -> None:
        self._calls = calls

    async def begin_due(self, unit: PaymentUnit) -> bool:
        """Begins the attempts that are due and have room. True if more may be due."""
        room = self._calls.room
        due = await unit.payments.locked_due(room, unknown_first=self._calls.are_probes) if room else []
        self._begin([payment for payment in due if not payment.rest_past_deadline(unit.now)], unit)
        return len(due) == room

    def begin_new(self, payments: Sequence[Payment], unit: PaymentUnit) -> None:
        """Begins an attempt for each payment while there is room. The other payments stay due; while the gateway is
        probed, so do all, because payments of unknown outcome go first."""
        if self._calls.are_probes:
            self._calls.hold_back(len(payments))
        else:
            self._begin(payments[: self._calls.room], unit)

    def _begin(self, payments: Sequence[Payment], unit: PaymentUnit) -> None:
        """Asks the gateway after the commit."""
        attempts = [payment.begin_attempt(uuid7(), unit.now) for payment in payments]
        unit.after_commit(lambda: self._calls.make(attempts))


@dataclass(frozen=True, slots=True)
class Answered:
    attempt: Attempt
    answer: Answer


class ApplyAnswers:
    """`retry_delays` follow the first, second, ... definite error; the error after the last delay fails the payment."""

    def __init__(self, retry_delays: Sequence[timedelta]) -> None:
        self._retry_delays = retry_delays

    async def __call__(self, answers: Sequence[Answered], unit: PaymentUnit) -> list[bool | Exception]:
        """For each answer whether it was applied, which a stale one is not."""
        payments = await unit.payments.locked([answered.attempt.order_id for answered in answers])
        return [
            payments[answered.attempt.order_id].apply(answered.attempt, answered.answer, self._retry_delays, unit.now)
            for answered in answers
        ]
