"""This service's ports in memory. integration/test_order_repository.py runs one suite over these and PostgreSQL."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from chassis.ports.idempotency import Claim
from chassis.testing import MemoryUnit

from domain.order import Order


class MemoryOrders:
    """Keeps copies: as with a database, what is changed and not saved is not there for the next reader."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._kept: dict[UUID, Order] = {}

    async def add(self, orders: Sequence[Order]) -> None:
        self._kept |= {order.id: _copy(order) for order in orders}

    async def save(self, orders: Sequence[Order]) -> None:
        self._kept |= {order.id: _copy(order) for order in orders if order.id in self._kept}

    async def get(self, ids: Sequence[UUID]) -> dict[UUID, Order]:
        return {order_id: _copy(self._kept[order_id]) for order_id in ids if order_id in self._kept}

    async def locked(self, ids: Sequence[UUID]) -> dict[UUID, Order]:
        return await self.get(sorted(ids))

    async def locked_overdue(self, limit: int) -> list[Order]:
        overdue = [order for order in self._kept.values() if not order.is_final and order.expires_at <= self._now()]
        return [_copy(order) for order in sorted(overdue, key=lambda order: order.expires_at)[:limit]]

    async def locked_to_remind(self, limit: int) -> list[Order]:
        due = [(order.remind_at, order.id) for order in self._kept.values() if order.remind_at]
        return [_copy(self._kept[order_id]) for at, order_id in sorted(due)[:limit] if at <= self._now()]

    async def of_customer(self, customer_id: UUID, *, before: UUID | None, limit: int) -> list[Order]:
        newest_first = sorted(self._kept.values(), key=lambda order: order.id, reverse=True)
        theirs = [order for order in newest_first if order.customer_id == customer_id]
        return [_copy(order) for order in theirs if before is None or order.id < before][:limit]


def _copy(order: Order) -> Order:
    return replace(order, timeline=list(order.timeline), events=[], repeats=[])


@dataclass
class MemoryOrderUnit(MemoryUnit):
    """One unit, which a test goes on using as if each use case had a new one."""

    claims: dict[tuple[str, str], Claim] = field(default_factory=dict)
    orders: MemoryOrders = field(init=False)

    def __post_init__(self) -> None:
        self.orders = MemoryOrders(lambda: self.now)

    def count(self, order: Order) -> None:
        pass

    async def claim(self, claims: Sequence[Claim]) -> Mapping[UUID, Claim]:
        return {claim.resource_id: self.claims.setdefault((claim.caller, claim.key), claim) for claim in claims}
