"""The inventory service: `uvicorn main:app --port 8002`. The composition root: adapters are built only here."""

from chassis.runtime.group_commit import Batcher
from chassis.runtime.service import Service
from chassis.runtime.settings import load

from api import inventory as inventory_api
from application.hold_stock import hold_stock
from application.set_stock import set_stock
from domain import errors
from infrastructure.holds import prune_tombstones
from infrastructure.items import PostgresItems
from infrastructure.messages import CONSUMED, PUBLISHED
from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import InventoryUnitOfWork
from settings import Settings

service = Service(
    "inventory-service", load(Settings), version="1.0.0", schema=SCHEMA, published=PUBLISHED, consumed=CONSUMED
)
units = service.units(InventoryUnitOfWork)
app = service.app(
    "Keeps the stock: holds it for orders, and sells or releases it as the order service decides.",
    units=units,
    consume=hold_stock,
    routers=[inventory_api.router(Batcher("set_stock", units, set_stock).submit, service.reading(PostgresItems))],
    jobs=[service.reminders(units, lambda unit: unit.holds)],
    prune=[prune_tombstones],
    errors={errors.ItemNotFound: 404},
)
