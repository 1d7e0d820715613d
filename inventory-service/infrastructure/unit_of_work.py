"""The unit of work with this service's repositories."""

from chassis.postgres.unit_of_work import UnitOfWork

from infrastructure.items import PostgresItems
from infrastructure.reservations import PostgresReservations


class InventoryUnitOfWork(UnitOfWork):
    reservations: PostgresReservations
    items: PostgresItems

    def open_repositories(self) -> None:
        self.reservations = self.tracked(PostgresReservations(self.connection))
        self.items = self.tracked(PostgresItems(self.connection))
