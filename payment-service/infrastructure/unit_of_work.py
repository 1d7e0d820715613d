"""The unit of work of this service: the chassis's, with the repository."""

from chassis.postgres.unit_of_work import UnitOfWork

from infrastructure.payments import PostgresPayments


class PaymentUnitOfWork(UnitOfWork):
    payments: PostgresPayments

    def open_repositories(self) -> None:
        self.payments = self.tracked(PostgresPayments(self.connection))
