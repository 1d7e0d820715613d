"""A payment gateway that takes nobody's money but otherwise behaves as a real one.

It repeats a key's first answer for ever: the outcome is drawn from the key alone. Three customers have a predictable
outcome, like the test cards of a card processor.
"""

import hashlib
from uuid import UUID

from chassis.ports.ids import RecentIds

from domain.attempt import Answer, Attempt, Kind

DECLINED_CUSTOMER = UUID("00000000-0000-4000-8000-000000000001")
FAILING_CUSTOMER = UUID("00000000-0000-4000-8000-000000000002")
FORGETFUL_CUSTOMER = UUID("00000000-0000-4000-8000-000000000003")
"""This customer is charged, and the first answer is lost."""


class SimulatedGateway:
    """Of the keys, `success_rate` are charged, `decline_rate` are declined, and the others end in an error. The first
    answer to `timeout_rate` of the keys is lost once the outcome is settled."""

    def __init__(self, *, success_rate: float, decline_rate: float, timeout_rate: float) -> None:
        self._success_rate = success_rate
        self._decline_rate = decline_rate
        self._timeout_rate = timeout_rate
        self._lost = RecentIds()

    async def ask(self, attempt: Attempt) -> Answer:
        if self._loses(attempt):
            return Answer.UNKNOWN
        return self._outcome(attempt)

    def _outcome(self, attempt: Attempt) -> Answer:
        if attempt.kind is Kind.REFUND or attempt.customer_id == FORGETFUL_CUSTOMER:
            return Answer.DONE
        if attempt.customer_id == DECLINED_CUSTOMER:
            return Answer.DECLINED
        if attempt.customer_id == FAILING_CUSTOMER:
            return Answer.ERROR
        drawn = _draw(attempt.idempotency_key)
        if drawn < self._success_rate:
            return Answer.DONE
        return Answer.DECLINED if drawn < self._success_rate + self._decline_rate else Answer.ERROR

    def _loses(self, attempt: Attempt) -> bool:
        forgetful = attempt.customer_id == FORGETFUL_CUSTOMER and attempt.kind is Kind.CHARGE
        if not forgetful and _draw(f"{attempt.idempotency_key}:lost") >= self._timeout_rate:
            return False
        key = UUID(bytes=hashlib.sha256(attempt.idempotency_key.encode()).digest()[:16])
        if key in self._lost:
            return False
        self._lost.add(key)
        return True


def _draw(key: str) -> float:
    """A number in [0, 1) that depends on the key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
