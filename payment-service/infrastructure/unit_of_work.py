"""The unit of work of this service: the chassis's, with the repository."""

from typing import Self

from chassis.postgres.unit_of_work import UnitOfWork

from infrastructure.payments import PostgresPayments


class PaymentsUnitOfWork(UnitOfWork):
    payments: PostgresPayments

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.payments = PostgresPayments(self.connection)
        return self
