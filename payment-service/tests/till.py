"""The service as main.py composes it, on PostgreSQL in memory, whose clock the test moves."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from chassis.testing import received
from chassis.testing.units import Published, Units

from application.ports import PaymentGateway
from domain.payment import Payment
from infrastructure.gateway_calls import BackgroundCalls
from infrastructure.unit_of_work import PAYMENTS, PaymentUnitOfWork
from tests.messages import TRACEPARENT
from tests.running import composed


async def turns(number: int = 40) -> None:
    """Lets every task go as far as it can: nothing here waits for anything but the gateway."""
    for _ in range(number):
        await asyncio.sleep(0)


class Till:
    """One replica; those that have the same `units` share their database."""

    calls: BackgroundCalls

    def __init__(
        self,
        gateway: PaymentGateway,
        retry_delays: Sequence[float] = (1, 2, 4),
        units: Units[PaymentUnitOfWork] | None = None,
    ) -> None:
        self.units = units or Units(PaymentUnitOfWork)
        self._retry_delays = retry_delays
        self.restart(gateway)

    def restart(self, gateway: PaymentGateway) -> None:
        """As if the process had ended: attempts under way are nobody's any more."""
        self.service = composed(self.units.database, gateway, self._retry_delays)
        self.units.replace_servers_of(self.service)
        [self.calls] = [worker for worker in self.service.workers if isinstance(worker, BackgroundCalls)]
        self.calls.breaker.clock = lambda: self.units.now.timestamp()
        [self.job] = [job for job in self.service.jobs if job.name == "due payments"]

    async def take(self, *messages: object) -> list[object]:
        """Handles the messages as one batch, and lets the gateway answer what it will."""
        return await self.take_traced(TRACEPARENT, *messages)

    async def take_traced(self, traceparent: str | None, *messages: object) -> list[object]:
        before = len(self.published)
        batch = [received(message, traceparent=traceparent) for message in messages]
        await self.units.run(self.service.consumer.use_case, batch)
        await turns()
        return [published.event for published in self.published[before:]]

    async def charge(self) -> list[object]:
        """One turn of the job that looks for what is due."""
        before = len(self.published)
        await self.job.act()
        await turns()
        return [published.event for published in self.published[before:]]

    @contextmanager
    def database_away(self) -> Iterator[None]:
        async def fail() -> None:
            raise ConnectionError("the database is away")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.units.database, "connect", fail)
            yield

    def pass_time(self, time: timedelta) -> None:
        self.units.now += time

    def pass_time_until_due(self, order_id: UUID) -> timedelta:
        """How long that was."""
        due_at = self.payment(order_id).due_at
        assert due_at is not None
        time = due_at - self.units.now
        self.units.now = due_at
        return time

    def payment(self, order_id: UUID) -> Payment:
        return self.payments[order_id]

    @property
    def payments(self) -> dict[UUID, Payment]:
        return self.units.kept(PAYMENTS)

    @property
    def statuses(self) -> Counter[str]:
        return Counter(str(payment.status) for payment in self.payments.values())

    @property
    def published(self) -> list[Published]:
        return self.units.published

    @property
    def events(self) -> list[str]:
        return [published.event.name for published in self.published]
