"""Mistakes with stock and its reservations."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from simulation.mutations.registry import module, mutation, unnoticed_conflicts
from simulation.scenario import INVENTORY


@mutation("inventory keeps no tombstone", INVENTORY)
def no_tombstone() -> None:
    handle_events = module("application.handle_events")
    follow = handle_events._follow

    def follow_known(reservation: Any, data: Any, items: Any, now: Any) -> Any:
        if isinstance(data, handle_events.OrderUndone) and reservation.status == "new":
            return False
        return follow(reservation, data, items, now)

    handle_events._follow = follow_known


@mutation(
    "inventory prunes tombstones before their deadline",
    INVENTORY,
    healed_because="what is reserved after its tombstone is gone asks again, and is told the decision",
)
def pruned_early() -> None:
    module("domain.reservation").TOMBSTONE_KEPT = -timedelta(days=1)


@mutation("a reservation that another process has added since is not noticed", INVENTORY)
def lost_insert() -> None:
    unnoticed_conflicts()


@mutation("items read without a lock", INVENTORY)
def items_not_locked() -> None:
    items = module("infrastructure.unit_of_work").ITEMS
    items.lock = items.get


@mutation("sold without a look at what is available", INVENTORY)
def oversold() -> None:
    module("domain.reservation")._shortages = lambda lines, stock: ()

    def move(self: Any, available: int, reserved: int, now: Any) -> None:
        self.quantity_available += available
        self.reserved_quantity += reserved
        self.updated_at = now

    module("domain.item").Item._move = move


@mutation("some lines held though others are short", INVENTORY)
def not_all_or_nothing() -> None:
    reservation = module("domain.reservation").Reservation
    reserve = reservation.reserve

    def reserve_what_is_there(
        self: Any, lines: Any, amount: Any, currency: Any, stock: Any, now: Any, **ways: Any
    ) -> None:
        reserve(self, lines, amount, currency, stock, now, **ways)
        for line in lines if self.status == "refused" else ():
            if line.product_id in stock and stock[line.product_id].quantity_available >= line.quantity:
                stock[line.product_id].reserve(line.quantity, now)

    reservation.reserve = reserve_what_is_there


@mutation("stock released on PaymentFailed", INVENTORY, bindings=(("payment.failed", INVENTORY),))
def release_on_payment_failed() -> None:
    handle_events = module("application.handle_events")
    follow = handle_events._follow

    @dataclass(frozen=True)
    class PaymentFailed:
        order_id: UUID
        customer_id: UUID
        reason: str
        expires_at: datetime = datetime(2100, 1, 1, tzinfo=UTC)

    def follow_payment(reservation: Any, data: Any, items: Any, now: Any) -> Any:
        if not isinstance(data, PaymentFailed):
            return follow(reservation, data, items, now)
        if reservation.status != "held":
            return False
        reservation.release(data.reason, items, now)
        return True

    handle_events._follow = follow_payment
    module("application.messages").CONSUMED["PaymentFailed"] = PaymentFailed


@mutation("what an undone order held is not released", INVENTORY)
def not_released() -> None:
    handle_events = module("application.handle_events")
    follow = handle_events._follow

    def follow_most(reservation: Any, data: Any, items: Any, now: Any) -> Any:
        if isinstance(data, handle_events.OrderUndone) and reservation.status == "held":
            return False
        return follow(reservation, data, items, now)

    handle_events._follow = follow_most


@mutation("nobody is reminded of reservations", INVENTORY)
def no_reminders() -> None:
    async def remind(waiting: Any, unit: Any) -> None:
        pass

    module("chassis.runtime.service").remind = remind


def _silent(about: str) -> None:
    """Answers nothing to what it knows, if the reservation stands like that."""
    handle_events = module("application.handle_events")
    answer = handle_events._answer

    def answer_others(reservation: Any, data: Any) -> Any:
        return reservation.status != about and answer(reservation, data)

    handle_events._answer = answer_others


@mutation(
    "who asks again about a reservation gets no answer",
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
    handle_events = module("application.handle_events")
    follow = handle_events._follow

    def follow_again(reservation: Any, data: Any, items: Any, now: Any) -> Any:
        if isinstance(data, handle_events.OrderCreated) and reservation.status == "released":
            reservation.status = module("domain.reservation").Status.NEW
        return follow(reservation, data, items, now)

    handle_events._follow = follow_again


@mutation("stock held at whatever price an order names", INVENTORY)
def held_at_any_price() -> None:
    reservation = module("domain.reservation")
    refusal = reservation._refusal

    def refuse_no_price(lines: Any, stock: Any, *, price_trusted: bool) -> Any:
        at_its_price = [
            replace(line, price=getattr(stock.get(line.product_id), "price", None) or line.price) for line in lines
        ]
        return refusal(at_its_price, stock, price_trusted=price_trusted)

    reservation._refusal = refuse_no_price


@mutation("a price that is not trusted taken for one that is", INVENTORY)
def every_price_trusted() -> None:
    reservation = module("domain.reservation").Reservation
    reserve = reservation.reserve

    def reserve_trustingly(self: Any, *order: Any, **_: Any) -> Any:
        return reserve(self, *order, price_trusted=True)

    reservation.reserve = reserve_trustingly


@mutation("stock held for an order past its deadline", INVENTORY)
def held_past_deadline() -> None:
    reservation = module("domain.reservation").Reservation
    reserve = reservation.reserve

    def reserve_always(self: Any, lines: Any, amount: Any, currency: Any, stock: Any, now: Any, **ways: Any) -> Any:
        before = min(now, self.expires_at - timedelta(microseconds=1))
        return reserve(self, lines, amount, currency, stock, before, **ways)

    reservation.reserve = reserve_always


@mutation("a change of stock that comes again is made again", INVENTORY)
def change_made_again() -> None:
    change_stock = module("application.change_stock")
    claim = change_stock._claim

    def claim_another_key(command: Any) -> Any:
        made = claim(command)
        return replace(made, key=str(made.resource_id))

    change_stock._claim = claim_another_key


@mutation("inventory tells of no shortage", INVENTORY)
def nothing_missing() -> None:
    reservation = module("domain.reservation").Reservation
    event = reservation._event

    def event_without(self: Any) -> Any:
        said = event(self)
        return replace(said, shortages=()) if hasattr(said, "shortages") else said

    reservation._event = event_without
