"""A replica of the service: its own calls of the gateway, the common database."""

from collections.abc import Sequence
from typing import Any

from chassis.ports.errors import Conflict
from chassis.ports.events import Received
from chassis.postgres.database import Database
from chassis.testing import received
from sqlalchemy import text

from application.ports import PaymentGateway
from infrastructure.gateway_calls import BackgroundCalls
from tests.running import composed


class Worker:
    def __init__(self, database: Database, gateway: PaymentGateway) -> None:
        self.database = database
        self.service = composed(database, gateway)
        [self.calls] = [worker for worker in self.service.workers if isinstance(worker, BackgroundCalls)]
        [self._due] = [job for job in self.service.jobs if job.name == "due payments"]

    async def take(self, *messages: object) -> None:
        await self._take([received(message) for message in messages])

    async def _take(self, events: Sequence[Received]) -> None:
        """Once more after a conflict, as the consumer does."""
        try:
            async with self.service.units() as unit:
                await self.service.consumer.use_case(await unit.take_in("payment-service", events), unit)
                await unit.commit()
        except Conflict:
            await self._take(events)

    async def charge(self) -> None:
        await self._due.act()

    async def execute(self, statement: str, **parameters: object) -> list[Any]:
        async with self.database.autocommit() as connection:
            result = await connection.execute(text(statement), parameters)
            return list(result) if result.returns_rows else []
