from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from application.messages import OrderCreated
from application.remind_of_holds import MAX_HOLDS_A_BATCH, remind_of_holds
from domain.events import InventoryReserved
from tests.inventory import Inventory
from tests.messages import completed, order_created, undone

PRODUCT = UUID(int=1)
DEADLINE, MINUTE = timedelta(minutes=15), timedelta(minutes=1)


async def test_a_hold_that_nobody_decides_about_is_announced_again_under_new_ids(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3), expires_at=inventory.store.now + DEADLINE)
    await inventory.take(order)
    inventory.pass_time(DEADLINE + MINUTE - timedelta(seconds=1))
    assert await inventory.remind() == []
    inventory.pass_time(timedelta(seconds=1))
    for wait in (1, 2, 4):
        assert len(await inventory.remind()) == 1
        assert await inventory.remind() == []
        inventory.pass_time(wait * MINUTE)
    first, *again = inventory.store.published
    assert len({one.event_id for one in inventory.store.published}) == len(inventory.store.published) == 4
    assert isinstance(first.event, InventoryReserved)
    assert {one.event for one in again} == {first.event}
    assert {one.traceparent for one in again} == {first.traceparent}
    assert inventory.quantities(PRODUCT) == (7, 3)


@pytest.mark.parametrize("decide", [completed, undone])
async def test_a_decided_hold_is_not_mentioned_again(
    inventory: Inventory, decide: Callable[[OrderCreated], object]
) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3), expires_at=inventory.store.now + DEADLINE)
    await inventory.take(order, decide(order))
    inventory.pass_time(DEADLINE + timedelta(days=30))
    assert await inventory.remind() == []


async def test_reminders_come_in_batches_and_say_when_there_may_be_more(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 1_000)
    orders = [order_created((PRODUCT, 1), expires_at=inventory.store.now + DEADLINE) for _ in range(MAX_HOLDS_A_BATCH)]
    last = order_created((PRODUCT, 1), expires_at=inventory.store.now + DEADLINE)
    await inventory.take(*orders, last)
    inventory.pass_time(DEADLINE + MINUTE)
    batches = []
    for _ in range(2):
        async with inventory.store.transaction() as unit:
            batches.append((await remind_of_holds(unit), len(unit.published)))
    assert batches == [(True, MAX_HOLDS_A_BATCH), (False, 1)]
