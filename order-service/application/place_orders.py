"""Takes orders. A request that comes again under its idempotency key gets the order as it was placed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from chassis.ports.idempotency import Claim
from chassis.ports.ids import uuid7

from application.fingerprint import fingerprint, given, is_of
from application.ports import OrderUnit
from domain.errors import IdempotencyKeyReused, OrderError
from domain.events import Line
from domain.order import Order

NOT_ASKED_FOR = {"traceparent", "idempotency_key", "price_trusted"}
"""How a request came, as opposed to what it asks for."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    customer_id: UUID
    items: tuple[Line, ...]
    traceparent: str
    idempotency_key: str | None = None
    price_trusted: bool = True
    """Whether the caller may name the price of a product that has none."""


@dataclass(frozen=True, slots=True)
class Placed:
    order: Order
    replayed: bool = False


class PlaceOrders:
    def __init__(self, *, currency: str, expires_after: timedelta) -> None:
        self._currency = currency
        self._expires_after = expires_after

    async def __call__(self, commands: Sequence[PlaceOrder], unit: OrderUnit) -> list[Placed | Exception]:
        """For each command the order, or the OrderError that refuses it."""
        drafts = [(command, self._draft(command, unit)) for command in commands]
        owners = await unit.claim([claim for command, draft in drafts if (claim := _claim(command, draft))])
        earlier = {owner.resource_id for owner in owners.values()} - owners.keys()
        orders = await unit.orders.get(list(earlier)) if earlier else {}
        results: list[Placed | Exception] = []
        for command, draft in drafts:
            if isinstance(draft, OrderError):
                results.append(draft)
                continue
            owner = owners.get(draft.id)
            if owner is None or owner.resource_id == draft.id:
                orders[draft.id] = unit.orders.add(draft)
                results.append(Placed(draft))
            elif is_of(owner.fingerprint, asked_for(command)):
                results.append(Placed(orders[owner.resource_id].as_placed(), replayed=True))
            else:
                results.append(IdempotencyKeyReused("This Idempotency-Key came with another order before."))
        return results

    def _draft(self, command: PlaceOrder, unit: OrderUnit) -> Order | OrderError:
        try:
            return Order.place(
                uuid7(),
                command.customer_id,
                command.items,
                currency=self._currency,
                expires_after=self._expires_after,
                traceparent=command.traceparent,
                now=unit.now,
                price_trusted=command.price_trusted,
            )
        except OrderError as error:
            return error


def asked_for(command: PlaceOrder) -> dict[str, Any]:
    """What the same key must ask for again to get the same order."""
    return {name: value for name, value in given(command).items() if name not in NOT_ASKED_FOR}


def _claim(command: PlaceOrder, draft: Order | OrderError) -> Claim | None:
    """The claim to the request's idempotency key, which belongs to the customer."""
    if command.idempotency_key is None or isinstance(draft, OrderError):
        return None
    digest = fingerprint(asked_for(command))
    return Claim(str(command.customer_id), command.idempotency_key, digest, draft.id)
