"""Mistakes of the arbiter."""

from typing import Any

from simulation.mutations.registry import module, mutation
from simulation.scenario import ORDER


@mutation("a final order confirmed", ORDER)
def confirm_after_final() -> None:
    handle_events = module("application.handle_events")
    order = module("domain.order")
    settle = handle_events._apply

    def settle_all(found: Any, event: Any, now: Any) -> Any:
        if event.type == "InventoryReserved" and found.is_undone:
            found.status = order.Status.CONFIRMED
            found._announce(now)
            return True
        return settle(found, event, now)

    handle_events._apply = settle_all


@mutation("a payment completes an order that is undone", ORDER)
def complete_after_final() -> None:
    handle_events = module("application.handle_events")
    order = module("domain.order")
    settle = handle_events._apply

    def settle_all(found: Any, event: Any, now: Any) -> Any:
        if event.type == "PaymentProcessed" and found.is_undone:
            found.status = order.Status.CONFIRMED
        return settle(found, event, now)

    handle_events._apply = settle_all


@mutation("a payment that comes before the reservation was heard of is ignored", ORDER)
def early_payment_ignored() -> None:
    handle_events = module("application.handle_events")
    settle = handle_events._apply

    def settle_all(found: Any, event: Any, now: Any) -> Any:
        if event.type == "PaymentProcessed" and found.status == "pending":
            return False
        return settle(found, event, now)

    handle_events._apply = settle_all


@mutation("a decision said again to nobody who shows not to know it", ORDER)
def never_again() -> None:
    module("application.handle_events")._contradicts = lambda order, fact: False


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
    orders = module("infrastructure.unit_of_work").ORDERS
    orders.lock = orders.get


@mutation("idempotency keys ignored", ORDER)
def no_keys() -> None:
    async def claim(self: Any, claims: Any) -> Any:
        return {claim.resource_id: claim for claim in claims}

    module("infrastructure.unit_of_work").OrderUnitOfWork.claim = claim


@mutation("no deadline", ORDER)
def no_deadline() -> None:
    async def locked_overdue(self: Any, limit: int) -> Any:
        return []

    module("infrastructure.unit_of_work").PostgresOrders.locked_overdue = locked_overdue


@mutation("an order that asks again has forgotten that its price is not trusted", ORDER)
def trusted_when_it_asks_again() -> None:
    order = module("domain.order").Order
    remind = order.remind

    def remind_trustingly(self: Any, now: Any) -> Any:
        self.price_trusted = True
        return remind(self, now)

    order.remind = remind_trustingly
