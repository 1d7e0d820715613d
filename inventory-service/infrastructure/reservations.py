"""Reservations in PostgreSQL."""

from chassis.postgres.repository import Mapped, PostgresRepository

from domain.reservation import Reservation, Status
from infrastructure.tables import reservations

RESERVATIONS = Mapped(reservations, Reservation, key="order_id")
# Nothing is reserved past the order's deadline, so a tombstone can be deleted some time later.
OLD_TOMBSTONES = RESERVATIONS.prune(reservations.c.due_at, reservations.c.status == Status.VOID)


class PostgresReservations(PostgresRepository[Reservation]):
    mapped = RESERVATIONS
