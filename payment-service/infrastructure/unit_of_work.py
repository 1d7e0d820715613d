"""The unit of work with this service's repository."""

from chassis.postgres.unit_of_work import UnitOfWork

from infrastructure.payments import PostgresPayments


class PaymentUnitOfWork(UnitOfWork):
    payments: PostgresPayments

    def open_repositories(self) -> None:
        self.payments = self.tracked(PostgresPayments(self.connection))
