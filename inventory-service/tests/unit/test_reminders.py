from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from chassis.runtime.reminders import MAX_REMINDERS_A_SECOND

from application.messages import OrderCreated
from domain.events import InventoryReserved
from tests.inventory import Inventory
from tests.messages import completed, order_created, undone

PRODUCT = UUID(int=1)
DEADLINE, MINUTE, SECOND = timedelta(minutes=15), timedelta(minutes=1), timedelta(seconds=1)


async def test_a_reservation_that_nobody_decides_about_is_said_again_under_new_ids(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3), expires_at=inventory.now + DEADLINE)
    await inventory.take(order)
    inventory.pass_time(MINUTE - SECOND)
    assert await inventory.remind() == []
    inventory.pass_time(SECOND)
    for wait in (2, 4, 8):
        assert len(await inventory.remind()) == 1
        inventory.pass_time(SECOND)
        assert await inventory.remind() == []
        inventory.pass_time(wait * MINUTE - SECOND)
    first, *again = inventory.published
    assert len({one.event_id for one in inventory.published}) == len(inventory.published) == 4
    assert isinstance(first.event, InventoryReserved)
    assert {one.event for one in again} == {first.event}
    assert {one.traceparent for one in again} == {first.traceparent}
    assert [one.repeat for one in inventory.published] == [False, True, True, True]
    assert inventory.reminders == {"reservation": 3}
    assert inventory.quantities(PRODUCT) == (7, 3)


@pytest.mark.parametrize("decide", [completed, undone])
async def test_a_decided_reservation_is_not_mentioned_again(
    inventory: Inventory, decide: Callable[[OrderCreated], object]
) -> None:
    await inventory.stock(PRODUCT, 10)
    order = order_created((PRODUCT, 3), expires_at=inventory.now + DEADLINE)
    await inventory.take(order, decide(order))
    inventory.pass_time(DEADLINE + timedelta(days=30))
    assert await inventory.remind() == []


async def test_a_second_has_so_many_reminders_and_the_rest_waits_for_the_next(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 1_000)
    for _ in range(2):
        await inventory.take(*(order_created((PRODUCT, 1)) for _ in range(MAX_REMINDERS_A_SECOND // 2 + 1)))
    inventory.pass_time(MINUTE)
    assert [len(await inventory.remind()) for _ in range(2)] == [MAX_REMINDERS_A_SECOND, 0]
    inventory.pass_time(SECOND)
    assert len(await inventory.remind()) == 2
