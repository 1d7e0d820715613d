"""Sets how much of a product is free to be ordered, whatever is held of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from application.ports import InventoryUnit
from domain.item import Item


@dataclass(frozen=True, slots=True)
class SetStock:
    product_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class Stocked:
    item: Item
    created: bool


async def set_stock(commands: Sequence[SetStock], unit: InventoryUnit) -> list[Stocked | Exception]:
    product_ids = list({command.product_id for command in commands})
    created = await unit.items.make(product_ids)
    items = await unit.items.locked(product_ids)
    results: list[Stocked | Exception] = []
    for command in commands:
        item = items[command.product_id]
        item.set_available(command.quantity, unit.now)
        results.append(Stocked(replace(item), command.product_id in created))
        created.discard(command.product_id)
    await unit.items.save(list(items.values()))
    return results
