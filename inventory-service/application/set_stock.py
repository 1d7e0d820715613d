"""Sets the quantity of a product that can be ordered, and its price; the reserved quantity stays as it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from chassis.ports.ids import uuid7

from application.ports import InventoryUnit
from domain.errors import StockRevised
from domain.item import Item

_REVISED = "The stock is not as your condition has it: somebody has set or changed it since you read it. Read it again."


@dataclass(frozen=True, slots=True)
class SetStock:
    product_id: UUID
    quantity: int
    price: Decimal | None = None
    """None removes the price."""
    keep_price: bool = True
    only_at: Callable[[int], bool] | None = None
    """Whether to set stock of this revision, which is 0 for a product that has no item; None for any."""


@dataclass(frozen=True, slots=True)
class Stocked:
    item: Item
    created: bool


async def set_stock(commands: Sequence[SetStock], unit: InventoryUnit) -> list[Stocked | Exception]:
    """For each command the item as it is then, or StockRevised."""
    items = await unit.items.locked([command.product_id for command in commands])
    results: list[Stocked | Exception] = []
    for command in commands:
        item = items.get(command.product_id)
        created = item is None
        if command.only_at and not command.only_at(item.revision if item else 0):
            results.append(StockRevised(_REVISED))
            continue
        if item is None:
            item = items[command.product_id] = unit.items.add(Item.new(uuid7(), command.product_id, unit.now))
        item.set_available(command.quantity, unit.now)
        if not command.keep_price:
            item.set_price(command.price, unit.now)
        results.append(Stocked(replace(item), created))
    return results
