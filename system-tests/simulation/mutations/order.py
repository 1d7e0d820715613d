"""Mistakes of the arbiter."""

from typing import Any

from simulation.mutations.registry import module, mutation
from simulation.scenario import ORDER


@mutation("a final order confirmed", ORDER)
def confirm_after_final() -> None:
    settle_orders = module("application.settle_orders")
    order = module("domain.order")
    settle = settle_orders._settle

    def settle_all(found: Any, fact: Any, now: Any) -> Any:
        if isinstance(fact, settle_orders.InventoryReserved) and found.is_undone:
            event = order.OrderConfirmed(found.id, found.customer_id)
            found._record(event, order.Status.CONFIRMED, now)
            return True
        return settle(found, fact, now)

    settle_orders._settle = settle_all


@mutation("a payment completes an order that is undone", ORDER)
def complete_after_final() -> None:
    settle_orders = module("application.settle_orders")
    order = module("domain.order")
    settle = settle_orders._settle

    def settle_all(found: Any, fact: Any, now: Any) -> Any:
        if isinstance(fact, settle_orders.PaymentProcessed) and found.is_undone:
            found.status = order.Status.CONFIRMED
        return settle(found, fact, now)

    settle_orders._settle = settle_all


@mutation("a payment that comes before the hold was heard of is ignored", ORDER)
def early_payment_ignored() -> None:
    settle_orders = module("application.settle_orders")
    settle = settle_orders._settle

    def settle_all(found: Any, fact: Any, now: Any) -> Any:
        if isinstance(fact, settle_orders.PaymentProcessed) and found.status == "pending":
            return False
        return settle(found, fact, now)

    settle_orders._settle = settle_all


@mutation("a decision said again to nobody who shows not to know it", ORDER)
def never_again() -> None:
    module("application.settle_orders")._contradicts = lambda order, fact: False


@mutation("an open order never asks again", ORDER)
def never_asks() -> None:
    module("domain.order").Order._remind_before_deadline = lambda self, now: None


@mutation("an order asks again, but only once", ORDER)
def asks_once() -> None:
    order = module("domain.order").Order
    remind = order.remind

    def remind_once(self: Any, now: Any) -> Any:
        kind = remind(self, now)
        self.remind_at = None
        return kind

    order.remind = remind_once


@mutation("a decision that undoes is never repeated", ORDER)
def never_repeated() -> None:
    module("domain.order").Order._repeat_later = lambda self, now: None


@mutation("a decision is repeated until the stock is free, whatever was charged", ORDER)
def refund_not_awaited() -> None:
    order = module("domain.order").Order
    order._is_undone_everywhere = lambda self: any(entry.event == "InventoryReleased" for entry in self.timeline)


@mutation("orders decided without their row's lock", ORDER)
def no_lock() -> None:
    simulated = module("tests.simulated")

    async def read(self: Any, ids: Any) -> Any:
        for order_id in ids:
            if order_id in self._store.committed and order_id not in self._locked:
                self._kept.setdefault(order_id, self._store.committed[order_id])
                self.__dict__.setdefault("read", {})[order_id] = self._kept[order_id]
        return await simulated.MemoryOrders.get(self, ids)

    def commit(self: Any) -> None:
        read = self.__dict__.get("read", {})
        self._store.committed |= {key: order for key, order in self._kept.items() if order is not read.get(key)}

    simulated.SimulatedOrders.locked = read
    simulated.SimulatedOrders.commit = commit


@mutation("idempotency keys ignored", ORDER)
def no_keys() -> None:
    async def claim(self: Any, claims: Any) -> Any:
        return {claim.resource_id: claim for claim in claims}

    module("tests.simulated").SimulatedUnitOfWork.claim = claim


@mutation("no deadline", ORDER)
def no_deadline() -> None:
    async def locked_overdue(self: Any, limit: int) -> Any:
        return []

    module("tests.simulated").SimulatedOrders.locked_overdue = locked_overdue
