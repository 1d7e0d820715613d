"""The service's use cases on PostgreSQL in memory."""

from datetime import timedelta
from decimal import Decimal
from types import EllipsisType
from typing import cast
from uuid import UUID, uuid4

from chassis.ports.events import Received
from chassis.ports.identity import UNCHECKED, Principal
from chassis.testing import received
from chassis.testing.units import Published, Units

from application.change_stock import Changed, ChangeStock, change_stock
from application.handle_events import handle_events
from application.set_stock import SetStock, Stocked, set_stock
from domain.events import InventoryEvent
from domain.item import Item
from domain.reservation import Reservation
from infrastructure.unit_of_work import ITEMS, RESERVATIONS, InventoryUnitOfWork
from tests.messages import TRACEPARENT
from tests.running import ask_again


class Inventory(Units[InventoryUnitOfWork]):
    def __init__(self) -> None:
        super().__init__(InventoryUnitOfWork)

    async def stock(self, product_id: UUID, quantity: int, price: Decimal | EllipsisType | None = ...) -> Stocked:
        """Without a price the product keeps the one that it has."""
        command = SetStock(product_id, quantity)
        if not isinstance(price, EllipsisType):
            command = SetStock(product_id, quantity, price, keep_price=False)
        [stocked] = await self.run(set_stock, [command])
        assert isinstance(stocked, Stocked)
        return stocked

    async def change(
        self, product_id: UUID, difference: int, key: str | None = None, caller: Principal = UNCHECKED
    ) -> Changed | Exception:
        """Under a new key, unless one is given."""
        [changed] = await self.run(change_stock, [ChangeStock(product_id, difference, key or str(uuid4()), caller)])
        return changed

    async def take(self, *messages: object) -> list[InventoryEvent]:
        """Handles the messages as one batch; returns the events that the batch published."""
        published = await self.take_received(*(received(message, traceparent=TRACEPARENT) for message in messages))
        return [cast(InventoryEvent, one.event) for one in published]

    async def take_received(self, *events: Received) -> list[Published]:
        before = len(self.published)
        await self.run(handle_events, events)
        return self.published[before:]

    async def remind(self) -> list[Published]:
        before = len(self.published)
        await self.run(ask_again)
        return self.published[before:]

    def pass_time(self, time: timedelta) -> None:
        self.now += time

    def reservations(self) -> dict[UUID, Reservation]:
        return self.kept(RESERVATIONS)

    def status(self, order_id: UUID) -> str:
        return self.reservations()[order_id].status

    def item(self, product_id: UUID) -> Item:
        return self.kept(ITEMS)[product_id]

    def quantities(self, product_id: UUID) -> tuple[int, int]:
        """How much of the product can be ordered, and how much is reserved."""
        item = self.item(product_id)
        return item.quantity_available, item.reserved_quantity
