"""Mistakes with stock and its holds."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from simulation.mutations.registry import module, mutation
from simulation.scenario import INVENTORY


@mutation("inventory keeps no tombstone", INVENTORY)
def no_tombstone() -> None:
    hold_stock = module("application.hold_stock")
    follow = hold_stock._follow

    def follow_known(hold: Any, event: Any, items: Any, now: Any) -> Any:
        if isinstance(event.data, hold_stock.OrderUndone) and hold.status == "new":
            return False
        return follow(hold, event, items, now)

    hold_stock._follow = follow_known


@mutation(
    "inventory prunes tombstones before their deadline",
    INVENTORY,
    healed_because="what is reserved after its tombstone is gone asks again, and is told the decision",
)
def pruned_early() -> None:
    module("domain.hold").TOMBSTONE_KEPT = -timedelta(days=1)


@mutation("a hold added over one that another process has added since", INVENTORY)
def added_over() -> None:
    async def add(self: Any, key: Any, row: Any) -> None:
        self._changed[key] = self._rows.copy(row)

    module("tests.fakes").View.add = add


@mutation("items read without a lock", INVENTORY)
def items_not_locked() -> None:
    fakes = module("tests.fakes")

    async def read(self: Any, product_ids: Any) -> Any:
        rows = self._view._rows.committed | self._view._changed
        return {key: self._view._rows.copy(rows[key]) for key in product_ids if key in rows}

    def save(self: Any, key: Any, row: Any) -> None:
        self._changed[key] = self._rows.copy(row)

    fakes.FakeItems.locked = read
    fakes.View.save = save


@mutation("sold without a look at what is available", INVENTORY)
def oversold() -> None:
    item = module("domain.item").Item

    def move(self: Any, available: int, reserved: int, now: Any) -> None:
        self.quantity_available += available
        self.reserved_quantity += reserved
        self.updated_at = now

    item.has = lambda self, quantity: True
    item._move = move


@mutation("some lines held though others are short", INVENTORY)
def not_all_or_nothing() -> None:
    hold = module("domain.hold").Hold
    place = hold.place

    def place_what_is_there(self: Any, demand: Any, items: Any, now: Any) -> None:
        place(self, demand, items, now)
        for product_id, quantity in demand.quantities().items() if self.status == "refused" else ():
            if product_id in items and items[product_id].has(quantity):
                items[product_id].hold(quantity, now)

    hold.place = place_what_is_there


@mutation("stock released on PaymentFailed", INVENTORY, bindings=(("payment.failed", INVENTORY),))
def release_on_payment_failed() -> None:
    hold_stock, events = module("application.hold_stock"), module("chassis.events")
    follow = hold_stock._follow

    @dataclass(frozen=True)
    class PaymentFailed:
        order_id: UUID
        customer_id: UUID
        reason: str
        expires_at: datetime = datetime(2100, 1, 1, tzinfo=UTC)

    def follow_payment(hold: Any, event: Any, items: Any, now: Any) -> Any:
        if not isinstance(event.data, PaymentFailed):
            return follow(hold, event, items, now)
        if hold.status != "held":
            return False
        hold.release(event.data.reason, items, now)
        return True

    hold_stock._follow = follow_payment
    module("infrastructure.messages").CONSUMED[events.Wire("PaymentFailed", "payment.failed")] = PaymentFailed


@mutation("what an undone order held is not released", INVENTORY)
def not_released() -> None:
    hold_stock = module("application.hold_stock")
    follow = hold_stock._follow

    def follow_most(hold: Any, event: Any, items: Any, now: Any) -> Any:
        if isinstance(event.data, hold_stock.OrderUndone) and hold.status == "held":
            return False
        return follow(hold, event, items, now)

    hold_stock._follow = follow_most


@mutation("nobody is reminded of holds", INVENTORY)
def no_reminders() -> None:
    async def remind(waiting: Any, unit: Any) -> None:
        pass

    module("chassis.reminders").remind = remind


def _silent(about: str) -> None:
    """Answers nothing to what it knows, if the hold stands like that."""
    hold_stock = module("application.hold_stock")
    answer = hold_stock._answer

    def answer_others(hold: Any, event: Any) -> Any:
        return hold.status != about and answer(hold, event)

    hold_stock._answer = answer_others


@mutation(
    "who asks again about a hold gets no answer",
    INVENTORY,
    healed_because="stock that is held asks by itself",
)
def held_silently() -> None:
    _silent("held")


@mutation("who asks again about a refusal gets no answer", INVENTORY)
def refused_silently() -> None:
    _silent("refused")


@mutation("a decision that inventory has followed gets no answer", INVENTORY)
def released_silently() -> None:
    _silent("released")


@mutation("a reservation is made anew for whoever asks again", INVENTORY)
def held_anew() -> None:
    hold_stock = module("application.hold_stock")
    follow = hold_stock._follow

    def follow_again(hold: Any, event: Any, items: Any, now: Any) -> Any:
        if isinstance(event.data, hold_stock.OrderCreated) and hold.status == "released":
            hold.status = module("domain.hold").Status.NEW
        return follow(hold, event, items, now)

    hold_stock._follow = follow_again


@mutation("stock held for an order past its deadline", INVENTORY)
def held_past_deadline() -> None:
    hold = module("domain.hold").Hold
    place = hold.place

    def place_always(self: Any, demand: Any, items: Any, now: Any) -> Any:
        return place(self, demand, items, min(now, self.expires_at - timedelta(microseconds=1)))

    hold.place = place_always
