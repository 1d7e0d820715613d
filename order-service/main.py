"""The order service: `uvicorn main:app --port 8001`. The composition root: adapters are built only here."""

from datetime import timedelta

from chassis import idempotency
from chassis.batching import Batcher, in_batches
from chassis.periodic import Periodic
from chassis.service import Service
from chassis.settings import load

from api import orders as orders_api
from application.cancel_orders import cancel_orders
from application.expire_orders import expire_orders
from application.place_orders import PlaceOrders
from application.settle_orders import settle_orders
from domain import errors
from infrastructure.messages import CONSUMED, PUBLISHED
from infrastructure.orders import PostgresOrders
from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import OrdersUnitOfWork
from settings import Settings

DEADLINE_EVERY_SECONDS = 1.0

settings = load(Settings)
service = Service("order-service", settings, version="1.0.0", schema=SCHEMA, published=PUBLISHED, consumed=CONSUMED)
units = service.units(OrdersUnitOfWork)
place_orders = PlaceOrders(
    currency=settings.currency, expires_after=timedelta(seconds=settings.order_expires_after_seconds)
)

app = service.app(
    "Takes orders, and is the one arbiter of how each of them ends.",
    units=units,
    consume=settle_orders,
    routers=[
        orders_api.router(
            Batcher("place_orders", units, place_orders).submit,
            Batcher("cancel_orders", units, cancel_orders).submit,
            service.reading(PostgresOrders),
        )
    ],
    jobs=[
        Periodic("order deadlines", DEADLINE_EVERY_SECONDS, in_batches(units, expire_orders)),
        service.reminders(units, lambda unit: unit.orders),
    ],
    prune=[idempotency.prune],
    errors={
        errors.OrderNotFound: 404,
        errors.IllegalTransition: 409,
        errors.InvalidOrder: 422,
        errors.IdempotencyKeyReused: 422,
    },
)
