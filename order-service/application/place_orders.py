"""Takes orders. Whoever placed one under an idempotency key before gets that order again, as it was placed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from chassis.ports.idempotency import Claim
from chassis.ports.ids import uuid7

from application.fingerprint import fingerprint, is_of
from application.ports import OrderUnit
from domain.errors import IdempotencyKeyReused, OrderError
from domain.events import Line
from domain.order import Order


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    customer_id: UUID
    items: tuple[Line, ...]
    traceparent: str
    idempotency_key: str | None = None
    """It belongs to the customer: another customer's same key is another key."""


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
        owners = await unit.claim(
            [
                Claim(
                    str(command.customer_id),
                    command.idempotency_key,
                    fingerprint(command.customer_id, command.items),
                    draft.id,
                )
                for command, draft in drafts
                if isinstance(draft, Order) and command.idempotency_key is not None
            ]
        )
        accepted = [
            draft
            for _, draft in drafts
            if isinstance(draft, Order) and (draft.id not in owners or owners[draft.id].resource_id == draft.id)
        ]
        for order in accepted:
            unit.orders.add(order)
        known = {order.id: order for order in accepted}
        earlier = [owner.resource_id for owner in owners.values() if owner.resource_id not in known]
        if earlier:
            known |= await unit.orders.get(earlier)
        return [_result(command, draft, owners, known) for command, draft in drafts]

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
            )
        except OrderError as error:
            return error


def _result(
    command: PlaceOrder, draft: Order | OrderError, owners: Mapping[UUID, Claim], known: Mapping[UUID, Order]
) -> Placed | Exception:
    if isinstance(draft, OrderError):
        return draft
    owner = owners.get(draft.id)
    if owner is None or owner.resource_id == draft.id:
        return Placed(draft)
    if not is_of(owner.fingerprint, command.customer_id, command.items):
        return IdempotencyKeyReused("This Idempotency-Key came with another order before.")
    return Placed(known[owner.resource_id].as_placed(), replayed=True)
