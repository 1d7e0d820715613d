"""The order service: `uvicorn main:app --port 8001`. The composition root: adapters are built only here."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from chassis.postgres import idempotency
from chassis.runtime.service import Service
from chassis.runtime.settings import load

from api import orders as orders_api
from api.errors import STATUSES
from application.cancel_orders import CancelOrder, cancel_orders
from application.expire_orders import expire_orders
from application.handle_events import handle_events
from application.messages import CONSUMED
from application.place_orders import Placed, PlaceOrder, PlaceOrders
from domain.order import Order
from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import OrderUnitOfWork, PostgresOrders
from settings import Settings

DEADLINE_EVERY_SECONDS = 1.0


def compose(
    service: Service[OrderUnitOfWork], settings: Settings
) -> tuple[Callable[[PlaceOrder], Awaitable[Placed]], Callable[[CancelOrder], Awaitable[Order]]]:
    """Gives the service its use cases. Returns those that requests call: place and cancel."""
    service.consumes(handle_events)
    service.every(DEADLINE_EVERY_SECONDS, "order deadlines", expire_orders)
    service.reminds(lambda unit: unit.orders)
    service.prunes("idempotency keys", idempotency.PRUNE)
    expires_after = timedelta(seconds=settings.order_expires_after_seconds)
    place_orders = PlaceOrders(
        currency=settings.currency, expires_after=expires_after, max_open_orders=settings.max_open_orders_per_customer
    )
    return service.command("place_orders", place_orders), service.command("cancel_orders", cancel_orders)


settings = load(Settings)
service = Service.connected("order-service", settings, schema=SCHEMA, unit_of_work=OrderUnitOfWork, consumed=CONSUMED)
app = service.app(
    "Takes orders, and is the one arbiter of how each of them ends.",
    version="1.0.0",
    routers=[orders_api.router(*compose(service, settings), service.reading(PostgresOrders))],
    errors=STATUSES,
)
