"""Takes orders. A request that comes again under its idempotency key gets the order as it was placed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from chassis.ports.identity import UNCHECKED, Principal
from chassis.ports.ids import uuid7
from chassis.ports.unit_of_work import Claim

from application.access import key_owner, may_name_prices, may_place_for
from application.fingerprint import fingerprint, given, is_of
from application.ports import OrderUnit
from domain.errors import IdempotencyKeyReused, NotYourself, OrderError, TooManyOpenOrders
from domain.events import Line
from domain.order import Order

NOT_ASKED_FOR = {"traceparent", "idempotency_key", "caller"}
"""How a request came, as opposed to what it asks for."""
_TOO_MANY = "The customer has {} orders that are not final, and may have no more. Try again once one of them is."


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    customer_id: UUID
    items: tuple[Line, ...]
    traceparent: str
    idempotency_key: str | None = None
    caller: Principal = UNCHECKED


@dataclass(frozen=True, slots=True)
class Placed:
    order: Order
    replayed: bool = False


class PlaceOrders:
    def __init__(self, *, currency: str, expires_after: timedelta, max_open_orders: int) -> None:
        """`max_open_orders`: how many orders of a customer may be open at once; 0 for no limit."""
        self._currency = currency
        self._expires_after = expires_after
        self._max_open_orders = max_open_orders

    async def __call__(self, commands: Sequence[PlaceOrder], unit: OrderUnit) -> list[Placed | Exception]:
        """For each command the order, or the OrderError that refuses it."""
        drafts = [(command, self._draft(command, unit)) for command in commands]
        claims = [claim for command, draft in drafts if (claim := _claim(command, draft))]
        owners = await unit.claim(claims)
        first_ids = {claimed_id: owner.resource_id for claimed_id, owner in owners.items()}
        earlier = set(first_ids.values()) - first_ids.keys()
        orders = await unit.orders.get(list(earlier)) if earlier else {}
        new = [
            draft for _, draft in drafts if isinstance(draft, Order) and first_ids.get(draft.id, draft.id) == draft.id
        ]
        surplus = await self._surplus(new, unit)
        await unit.release([claim for claim in claims if claim.resource_id in surplus])
        results: list[Placed | Exception] = []
        for command, draft in drafts:
            if isinstance(draft, OrderError):
                results.append(draft)
                continue
            first_id = first_ids.get(draft.id, draft.id)
            if first_id in surplus:
                results.append(TooManyOpenOrders(_TOO_MANY.format(self._max_open_orders)))
            elif first_id == draft.id:
                orders[draft.id] = unit.orders.add(draft)
                results.append(Placed(draft))
            elif is_of(owners[draft.id].fingerprint, asked_for(command)):
                results.append(Placed(orders[first_id].as_placed(), replayed=True))
            else:
                results.append(IdempotencyKeyReused("This Idempotency-Key came with another order before."))
        return results

    async def _surplus(self, new: Sequence[Order], unit: OrderUnit) -> set[UUID]:
        """The ids of the new orders that exceed their customer's limit."""
        surplus: set[UUID] = set()
        if not (new and self._max_open_orders):
            return surplus
        open_orders = Counter(await unit.orders.count_open({order.customer_id for order in new}))
        for order in new:
            if open_orders[order.customer_id] < self._max_open_orders:
                open_orders[order.customer_id] += 1
            else:
                surplus.add(order.id)
        return surplus

    def _draft(self, command: PlaceOrder, unit: OrderUnit) -> Order | OrderError:
        if not may_place_for(command.customer_id, command.caller):
            return NotYourself("You may order for yourself only: send your own customer_id.")
        try:
            return Order.place(
                uuid7(),
                command.customer_id,
                command.items,
                currency=self._currency,
                expires_after=self._expires_after,
                traceparent=command.traceparent,
                now=unit.now,
                by=command.caller.name,
                price_trusted=may_name_prices(command.caller),
            )
        except OrderError as error:
            return error


def asked_for(command: PlaceOrder) -> dict[str, Any]:
    """What the same key must ask for again to get the same order."""
    return {name: value for name, value in given(command).items() if name not in NOT_ASKED_FOR}


def _claim(command: PlaceOrder, draft: Order | OrderError) -> Claim | None:
    """The claim to the request's idempotency key."""
    if command.idempotency_key is None or isinstance(draft, OrderError):
        return None
    digest = fingerprint(asked_for(command))
    return Claim(key_owner(command.customer_id, command.caller), command.idempotency_key, digest, draft.id)
