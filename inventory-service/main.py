"""The inventory service: `uvicorn main:app --port 8002`. The composition root: adapters are built only here."""

from collections.abc import Awaitable, Callable

from chassis.postgres import idempotency
from chassis.runtime.service import Service
from chassis.runtime.settings import load

from api import inventory as inventory_api
from api.errors import STATUSES
from application.change_stock import Changed, ChangeStock, change_stock
from application.handle_events import handle_events
from application.messages import CONSUMED
from application.set_stock import SetStock, Stocked, set_stock
from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import OLD_CHANGES, OLD_TOMBSTONES, InventoryUnitOfWork, PostgresItems
from settings import Settings


def compose(
    service: Service[InventoryUnitOfWork],
) -> tuple[Callable[[SetStock], Awaitable[Stocked]], Callable[[ChangeStock], Awaitable[Changed]]]:
    """Gives the service its use cases. Returns those that requests call: set and change."""
    service.consumes(handle_events)
    service.reminds(lambda unit: unit.reservations)
    service.prunes("tombstones", OLD_TOMBSTONES)
    service.prunes("idempotency keys", idempotency.PRUNE)
    service.prunes("stock changes", OLD_CHANGES)
    return service.command("set_stock", set_stock), service.command("change_stock", change_stock)


service = Service.connected(
    "inventory-service", load(Settings), schema=SCHEMA, unit_of_work=InventoryUnitOfWork, consumed=CONSUMED
)
app = service.app(
    "Keeps the stock: reserves it for orders, and sells or releases it as the order service decides.",
    version="1.0.0",
    routers=[inventory_api.router(*compose(service), service.reading(PostgresItems))],
    errors=STATUSES,
)
