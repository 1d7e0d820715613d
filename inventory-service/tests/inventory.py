"""The service without web, database and broker: its use cases on a store in memory."""

from datetime import timedelta
from uuid import UUID

from application.hold_stock import hold_stock
from chassis.ports.events import Received
from chassis.runtime.reminders import remind
from chassis.testing import Published, received
from domain.hold import Hold

from application.set_stock import SetStock, Stocked, set_stock
from domain.item import Item
from tests.fakes import FakeStore
from tests.messages import TRACEPARENT


class Inventory:
    def __init__(self) -> None:
        self.store = FakeStore()

    async def stock(self, product_id: UUID, quantity: int) -> Stocked:
        async with self.store.transaction() as unit:
            [result] = await set_stock([SetStock(product_id, quantity)], unit)
        assert isinstance(result, Stocked)
        return result

    async def take(self, *messages: object) -> list[object]:
        """Gives the messages to one run of the use case, as one batch; returns the events that it published."""
        published = await self.take_received(*(received(message, traceparent=TRACEPARENT) for message in messages))
        return [one.event for one in published]

    async def take_received(self, *events: Received) -> list[Published]:
        before = len(self.store.published)
        async with self.store.transaction() as unit:
            await hold_stock(events, unit)
        return self.store.published[before:]

    async def remind(self) -> list[Published]:
        before = len(self.store.published)
        async with self.store.transaction() as unit:
            await remind(unit.holds, unit)
        return self.store.published[before:]

    def pass_time(self, time: timedelta) -> None:
        self.store.now += time

    def hold(self, order_id: UUID) -> Hold | None:
        return self.store.holds.committed.get(order_id)

    def status(self, order_id: UUID) -> str | None:
        hold = self.hold(order_id)
        return None if hold is None else hold.status

    def item(self, product_id: UUID) -> Item:
        return self.store.items.committed[product_id]

    def quantities(self, product_id: UUID) -> tuple[int, int]:
        """What is free of the product, and what is held."""
        item = self.item(product_id)
        return item.quantity_available, item.reserved_quantity
