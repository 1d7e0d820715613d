"""The four services as their own main.py composes them, on what stands in for PostgreSQL, RabbitMQ and the gateway."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from chassis.ports.identity import UNCHECKED, Principal
from chassis.testing.access import OPEN

from simulation.database import Client, Server
from simulation.link import Link, Till
from simulation.scenario import INVENTORY, NOTIFICATION, ORDER, PAYMENT

if TYPE_CHECKING:
    from simulation.process import World

CALLS_THAT_TRIP = 2
"""The gateway's circuit breaker counts on more calls than a run has."""
Row = dict[str, Any]
Request = Callable[..., Awaitable[str]]


@dataclass
class Composed:
    """One process of a service."""

    consumer: Any
    requests: Mapping[str, Request] = field(default_factory=dict)
    jobs: Mapping[str, Callable[[], Awaitable[object]]] = field(default_factory=dict)
    parts: Sequence[Any] = ()
    """What is stopped after the consumer, in this order."""


class Simulated:
    """A service without a database."""

    publishes = False
    watched: ClassVar[Mapping[str, str]] = {}
    """The jobs that work on rows whose time has come, with the column that says when."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.main = import_module("main")

    def compose(self, client: Client, link: Link, till: Till, world: "World") -> Composed:
        raise NotImplementedError

    def rows(self, server: Server) -> list[Row]:
        return []

    def statuses(self, server: Server) -> dict[UUID, str]:
        """The status of each order, reservation or payment, by order id."""
        return {}

    def due(self, server: Server) -> dict[str, datetime]:
        """When each of the service's jobs would find something to do, of those that would."""
        return {}


class _Notification(Simulated):
    def compose(self, client: Client, link: Link, till: Till, world: "World") -> Composed:
        recent = import_module("infrastructure.recent_notifications").RecentNotifications()
        _, consumer = self.main.compose(link, _Channel(world.told), recent)
        return Composed(consumer)


class _Channel:
    name = "simulated"

    def __init__(self, told: Callable[[UUID, str], None]) -> None:
        self._told = told

    async def send(self, customer_id: UUID, subject: str, message: str, traceparent: str) -> None:
        self._told(customer_id, subject)


class _WithDatabase(Simulated):
    publishes = True

    def __init__(self, name: str, mapped: tuple[str, str]) -> None:
        super().__init__(name)
        module, mapping = mapped
        self.mapped = getattr(import_module(module), mapping)

    def compose(self, client: Client, link: Link, till: Till, world: "World") -> Composed:
        service = self.main.Service(
            self.name,
            unit_of_work=self.unit_of_work(),
            consumed=self.main.CONSUMED,
            database=client,
            broker=link,
            guard=OPEN,
        )
        requests = self.requests(service, till, world)
        jobs = {job.name: job.act for job in service.jobs}
        return Composed(service.consumer, requests, jobs, [*service.workers, service.publisher])

    def unit_of_work(self) -> Any:
        raise NotImplementedError

    def requests(self, service: Any, till: Till, world: "World") -> Mapping[str, Request]:
        """Composes the service; returns its requests."""
        raise NotImplementedError

    def kept(self, server: Server) -> list[Any]:
        return [self.mapped.load(row) for row in server.rows(self.mapped.table.name).values()]

    def statuses(self, server: Server) -> dict[UUID, str]:
        status = self.mapped.columns.index("status")
        return {key: row[status] for key, row in server.rows(self.mapped.table.name).items()}

    def due(self, server: Server) -> dict[str, datetime]:
        status = self.mapped.columns.index("status")
        found = {}
        for job, column in self.watched.items():
            due = self.mapped.columns.index(column)
            rows = server.rows(self.mapped.table.name).values()
            if times := [row[due] for row in rows if row[due] and row[status] != "void"]:
                found[job] = min(times)
        return found


class _Order(_WithDatabase):
    watched: ClassVar[Mapping[str, str]] = {"order deadlines": "due_at", "reminders": "remind_at"}

    def unit_of_work(self) -> Any:
        return self.main.OrderUnitOfWork

    def requests(self, service: Any, till: Till, world: "World") -> Mapping[str, Request]:
        expires_after = world.settings["expires_after_seconds"]
        settings = self.main.settings.model_copy(update={"order_expires_after_seconds": expires_after})
        place_order, cancel_order = self.main.compose(service, settings)
        line = import_module("domain.events").Line

        async def place(
            customer: str, lines: Sequence[tuple[str, int, str]], traceparent: str, key: str, trusted: bool
        ) -> str:
            items = tuple(line(UUID(product), quantity, Decimal(price)) for product, quantity, price in lines)
            itself = Principal("https://issuer", customer, frozenset({"customer"}), UUID(customer))
            caller = UNCHECKED if trusted else itself
            placed = await place_order(self.main.PlaceOrder(UUID(customer), items, traceparent, key or None, caller))
            return str(placed.order.id)

        async def cancel(order_id: str) -> str:
            return str((await cancel_order(self.main.CancelOrder(UUID(order_id)))).status)

        return {"place": place, "cancel": cancel}

    def rows(self, server: Server) -> list[Row]:
        return [
            {
                "order": str(order.id),
                "customer": str(order.customer_id),
                "status": str(order.status),
                "reason": order.reason,
                "shortages": _shortages(order),
                "expires_at": order.expires_at.isoformat(),
                "total": f"{order.total_amount} {order.currency}",
                "items": [(str(line.product_id), line.quantity) for line in order.items],
                "timeline": [(entry.event, str(entry.status)) for entry in order.timeline],
                "traceparent": order.traceparent,
            }
            for order in self.kept(server)
        ]


class _Inventory(_WithDatabase):
    watched: ClassVar[Mapping[str, str]] = {"reminders": "remind_at"}

    def unit_of_work(self) -> Any:
        return self.main.InventoryUnitOfWork

    def requests(self, service: Any, till: Till, world: "World") -> Mapping[str, Request]:
        set_stock, change_stock = self.main.compose(service)

        async def put(product: str, quantity: int, price: str | None) -> str:
            new_price = Decimal(price) if price else None
            stocked = await set_stock(self.main.SetStock(UUID(product), quantity, new_price, keep_price=False))
            return str(stocked.item.quantity_available)

        async def change(product: str, difference: int, key: str) -> str:
            changed = await change_stock(self.main.ChangeStock(UUID(product), difference, key))
            return str(changed.change.quantity_available)

        return {"set_stock": put, "change_stock": change}

    def rows(self, server: Server) -> list[Row]:
        items = import_module("infrastructure.unit_of_work").ITEMS
        reserved = [
            {
                "order": str(reservation.order_id),
                "status": str(reservation.status),
                "reason": reservation.reason,
                "shortages": _shortages(reservation),
                "quantities": _quantities(reservation.items or ()),
            }
            for reservation in self.kept(server)
        ]
        stock = [
            {
                "product": str(item.product_id),
                "available": item.quantity_available,
                "reserved": item.reserved_quantity,
            }
            for item in map(items.load, server.rows(items.table.name).values())
        ]
        return reserved + stock


class _Payment(_WithDatabase):
    watched: ClassVar[Mapping[str, str]] = {"due payments": "due_at"}

    def unit_of_work(self) -> Any:
        return self.main.PaymentUnitOfWork

    def requests(self, service: Any, till: Till, world: "World") -> Mapping[str, Request]:
        attempt = import_module("domain.attempt")
        till.read = lambda answer, seconds: attempt.Reply(attempt.Answer(answer), timedelta(seconds=seconds))
        breaker: Any = import_module("infrastructure.breaker")
        breaker.CALLS = CALLS_THAT_TRIP
        self.main.compose(service, self.main.settings, till)
        return {}

    def rows(self, server: Server) -> list[Row]:
        return [
            {
                "order": str(payment.order_id),
                "payment": str(payment.id),
                "status": str(payment.status),
                "reason": payment.reason,
                "amount": f"{payment.amount} {payment.currency}",
                "awaited": payment.outcome_unknown or payment.lease is not None,
            }
            for payment in self.kept(server)
        ]


def load(name: str) -> Simulated:
    """The service in whose folder, and with whose interpreter, this process runs."""
    os.environ |= {"DATABASE_URL": "postgresql://simulated/none", "RABBITMQ_URL": "amqp://simulated/"}
    match name:
        case _ if name == ORDER:
            return _Order(name, ("infrastructure.unit_of_work", "ORDERS"))
        case _ if name == INVENTORY:
            return _Inventory(name, ("infrastructure.unit_of_work", "RESERVATIONS"))
        case _ if name == PAYMENT:
            return _Payment(name, ("infrastructure.unit_of_work", "PAYMENTS"))
        case _ if name == NOTIFICATION:
            return _Notification(name)
    raise ValueError(f"{name} is not simulated")


def _shortages(refused: Any) -> dict[str, int]:
    return {str(short.product_id): short.missing for short in refused.shortages}


def _quantities(lines: Sequence[Any]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for line in lines:
        sums[str(line.product_id)] = sums.get(str(line.product_id), 0) + line.quantity
    return sums
