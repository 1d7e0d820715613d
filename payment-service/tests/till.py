"""The service without web, database and broker: its use cases on a store in memory, whose clock the test moves."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from application.charge_due import ChargeDue
from application.enter_answers import Answered, EnterAnswers
from application.take_payments import TakePayments
from chassis.testing import Published, received

from application.ports import PaymentGateway
from domain.payment import Payment
from tests.fakes import FakeStore
from tests.messages import TRACEPARENT

RETRY_DELAYS = [timedelta(seconds=delay) for delay in (1, 2, 4)]


async def turns(number: int = 10) -> None:
    """Lets every task go as far as it can: nothing here waits for anything but the gateway."""
    for _ in range(number):
        await asyncio.sleep(0)


class Till:
    def __init__(self, gateway: PaymentGateway, retry_delays: Sequence[timedelta] = RETRY_DELAYS) -> None:
        self.store = FakeStore()
        self.settled: list[bool | Exception] = []
        self.enter_answers = EnterAnswers(retry_delays)
        self.restart(gateway)

    def restart(self, gateway: PaymentGateway) -> None:
        """As if the process had ended: attempts under way are nobody's any more."""
        self.charge_due = ChargeDue(gateway, self.settle)
        self.take_payments = TakePayments(self.charge_due)

    async def settle(self, answered: Answered) -> None:
        async with self.store.transaction() as unit:
            self.settled += await self.enter_answers([answered], unit)

    async def take(self, *messages: object) -> list[object]:
        """Gives the messages to one run of the use case, as one batch, and lets the gateway answer what it will."""
        before = len(self.store.published)
        async with self.store.transaction() as unit:
            await self.take_payments([received(message, traceparent=TRACEPARENT) for message in messages], unit)
        await turns()
        return [published.event for published in self.store.published[before:]]

    async def charge(self) -> list[object]:
        """One run of what is due now."""
        before = len(self.store.published)
        async with self.store.transaction() as unit:
            await self.charge_due(unit)
        await turns()
        return [published.event for published in self.store.published[before:]]

    def pass_time(self, time: timedelta) -> None:
        self.store.now += time

    def pass_time_until_due(self, order_id: UUID) -> timedelta:
        """How long that was."""
        due_at = self.payment(order_id).due_at
        assert due_at is not None
        time = due_at - self.store.now
        self.store.now = due_at
        return time

    def payment(self, order_id: UUID) -> Payment:
        return self.store.payments.committed[order_id]

    @property
    def published(self) -> list[Published]:
        return self.store.published

    @property
    def events(self) -> list[str]:
        return [published.event.name for published in self.store.published]
