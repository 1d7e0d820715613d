"""Sets the quantity of a product that can be ordered, and its price; the reserved quantity stays as it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from chassis.ports.ids import uuid7

from application.ports import InventoryUnit
from domain.item import Item


@dataclass(frozen=True, slots=True)
class SetStock:
    product_id: UUID
    quantity: int
    price: Decimal | None = None
    """None removes the price."""
    keep_price: bool = True


@dataclass(frozen=True, slots=True)
class Stocked:
    item: Item
    created: bool


async def set_stock(commands: Sequence[SetStock], unit: InventoryUnit) -> list[Stocked]:
    items = await unit.items.locked([command.product_id for command in commands])
    results = []
    for command in commands:
        created = command.product_id not in items
        if created:
            items[command.product_id] = unit.items.add(Item.new(uuid7(), command.product_id, unit.now))
        item = items[command.product_id]
        item.set_available(command.quantity, unit.now)
        if not command.keep_price:
            item.set_price(command.price, unit.now)
        results.append(Stocked(replace(item), created))
    return results
