"""Adds a difference to what can be ordered of a product, or takes it away; what happened since somebody last looked is
kept. A request that comes again under its idempotency key changes nothing and gets its first answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from chassis.ports.identity import UNCHECKED, Principal
from chassis.ports.ids import uuid7
from chassis.ports.unit_of_work import Claim

from application.ports import InventoryUnit
from domain.errors import IdempotencyKeyReused, ItemNotFound, StockError
from domain.item import Item, StockChange


@dataclass(frozen=True, slots=True)
class ChangeStock:
    product_id: UUID
    difference: int
    """Negative to take away."""
    idempotency_key: str
    caller: Principal = UNCHECKED


@dataclass(frozen=True, slots=True)
class Changed:
    change: StockChange
    replayed: bool = False


async def change_stock(commands: Sequence[ChangeStock], unit: InventoryUnit) -> list[Changed | Exception]:
    """For each command the change, or the StockError that refuses it. A refused one leaves its key free."""
    claims = [_claim(command) for command in commands]
    owners = await unit.claim(claims)
    earlier = await unit.changes.get([owner.resource_id for owner in owners.values()])
    outcomes: dict[UUID, StockChange | StockError] = {**earlier}
    items = await unit.items.locked([command.product_id for command in commands])
    results: list[Changed | Exception] = []
    for command, claim in zip(commands, claims, strict=True):
        owner = owners[claim.resource_id]
        is_first = owner.resource_id == claim.resource_id
        if is_first:
            outcomes[claim.resource_id] = _change(command, claim.resource_id, items, unit)
        outcome = outcomes[owner.resource_id]
        if isinstance(outcome, StockError):
            results.append(outcome)
        elif owner.fingerprint != claim.fingerprint:
            results.append(IdempotencyKeyReused("This Idempotency-Key came with another change before."))
        else:
            results.append(Changed(outcome, replayed=not is_first))
    await unit.release([claim for claim in claims if isinstance(outcomes.get(claim.resource_id), StockError)])
    return results


def _change(
    command: ChangeStock, change_id: UUID, items: Mapping[UUID, Item], unit: InventoryUnit
) -> StockChange | StockError:
    item = items.get(command.product_id)
    if item is None:
        return ItemNotFound("There is no item for this product: PUT its stock first.")
    try:
        return unit.changes.add(item.change_available(change_id, command.difference, unit.now))
    except StockError as error:
        return error


def _claim(command: ChangeStock) -> Claim:
    """Where callers aren't checked, all are one."""
    digest = sha256(f"{command.product_id} {command.difference}".encode()).digest()
    return Claim(command.caller.name or "", command.idempotency_key, digest, uuid7())
