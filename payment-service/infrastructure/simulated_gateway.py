"""A payment gateway that takes no money but otherwise behaves as a real one.

A key's outcome is drawn from the key alone. Three customers have a predictable one, like a card processor's test cards.
"""

import hashlib
from uuid import UUID

from chassis.ports.ids import RecentIds

from domain.attempt import Answer, Attempt, Kind, Reply

DECLINED_CUSTOMER = UUID("00000000-0000-4000-8000-000000000001")
FAILING_CUSTOMER = UUID("00000000-0000-4000-8000-000000000002")
FORGETFUL_CUSTOMER = UUID("00000000-0000-4000-8000-000000000003")
"""This customer is charged, and the first answer is lost."""


class SimulatedGateway:
    """Charges `success_rate` of the keys, declines `decline_rate`, and answers the others with an error. For
    `timeout_rate` of the keys, the first answer is lost."""

    def __init__(self, *, success_rate: float, decline_rate: float, timeout_rate: float) -> None:
        self._success_rate = success_rate
        self._decline_rate = decline_rate
        self._timeout_rate = timeout_rate
        self._lost = RecentIds()
        self.outage: Reply | None = None
        """While it is set, the reply to every call, of which none is processed; but a refund can't be declined."""

    async def ask(self, attempt: Attempt) -> Reply:
        if self.outage is not None and not (attempt.kind is Kind.REFUND and self.outage.answer is Answer.DECLINED):
            return self.outage
        return Reply(Answer.UNKNOWN if self._loses(attempt) else self._outcome(attempt))

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
