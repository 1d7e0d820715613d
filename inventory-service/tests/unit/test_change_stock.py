from datetime import timedelta
from uuid import UUID

from chassis.ports.identity import Principal

from application.change_stock import Changed, ChangeStock, change_stock
from domain.errors import IdempotencyKeyReused, ItemNotFound, StockOutOfBounds
from infrastructure.unit_of_work import CHANGES
from tests.inventory import Inventory
from tests.messages import order_created

PRODUCT, OTHER, UNKNOWN = UUID(int=1), UUID(int=2), UUID(int=3)
STAFF, ALSO_STAFF = (Principal("https://issuer", name, frozenset({"staff"})) for name in ("one", "another"))


async def test_a_difference_is_added_to_what_there_is_by_now(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 5)
    await inventory.take(order_created((PRODUCT, 3)))
    arrived = await inventory.change(PRODUCT, 10)
    taken = await inventory.change(PRODUCT, -12)
    assert isinstance(arrived, Changed)
    assert isinstance(taken, Changed)
    assert (arrived.change.difference, arrived.change.quantity_available, arrived.replayed) == (10, 12, False)
    assert (taken.change.difference, taken.change.quantity_available, taken.replayed) == (-12, 0, False)
    assert inventory.quantities(PRODUCT) == (0, 3)
    assert inventory.item(PRODUCT).revision == 3


async def test_a_repetition_gets_the_first_answer_and_adds_nothing(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 5)
    first = await inventory.change(PRODUCT, 10, "delivery-7")
    await inventory.stock(PRODUCT, 1)
    again = await inventory.change(PRODUCT, 10, "delivery-7")
    assert isinstance(first, Changed)
    assert again == Changed(first.change, replayed=True)
    assert inventory.quantities(PRODUCT) == (1, 0)


async def test_a_key_that_comes_with_another_change_is_refused(inventory: Inventory) -> None:
    for product_id in (PRODUCT, OTHER):
        await inventory.stock(product_id, 5)
    await inventory.change(PRODUCT, 10, "delivery-7")
    for product_id, difference in ((PRODUCT, 11), (PRODUCT, -10), (OTHER, 10)):
        assert isinstance(await inventory.change(product_id, difference, "delivery-7"), IdempotencyKeyReused)
    assert (inventory.quantities(PRODUCT), inventory.quantities(OTHER)) == ((15, 0), (5, 0))


async def test_a_key_belongs_to_its_caller_and_is_free_after_a_day(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 0)
    for caller in (STAFF, ALSO_STAFF, STAFF):
        await inventory.change(PRODUCT, 1, "delivery-7", caller)
    assert inventory.quantities(PRODUCT) == (2, 0)
    inventory.pass_time(timedelta(hours=24, seconds=1))
    await inventory.change(PRODUCT, 1, "delivery-7", STAFF)
    assert inventory.quantities(PRODUCT) == (3, 0)


async def test_a_refused_change_changes_nothing_and_leaves_its_key_free(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 5)
    assert isinstance(await inventory.change(PRODUCT, -6, "recount"), StockOutOfBounds)
    assert isinstance(await inventory.change(UNKNOWN, 1, "recount"), ItemNotFound)
    assert (inventory.quantities(PRODUCT), inventory.kept(CHANGES)) == ((5, 0), {})
    assert isinstance(await inventory.change(PRODUCT, -5, "recount"), Changed)
    assert inventory.quantities(PRODUCT) == (0, 0)


async def test_each_change_of_a_batch_is_answered_for_itself(inventory: Inventory) -> None:
    await inventory.stock(PRODUCT, 5)
    await inventory.stock(OTHER, 5)
    wanted = [(PRODUCT, -6, "a"), (PRODUCT, 10, "b"), (PRODUCT, 10, "b"), (OTHER, 1, "b"), (PRODUCT, -6, "a")]
    wanted += [(PRODUCT, -15, "c"), (UNKNOWN, 1, "d"), (OTHER, -5, "e")]
    results = await inventory.run(change_stock, [ChangeStock(*each) for each in wanted])
    assert [one.change.quantity_available if isinstance(one, Changed) else type(one) for one in results] == [
        *(StockOutOfBounds, 15, 15, IdempotencyKeyReused, StockOutOfBounds),
        *(0, ItemNotFound, 0),
    ]
    assert [one.replayed for one in results if isinstance(one, Changed)] == [False, True, False, False]
    assert (inventory.quantities(PRODUCT), inventory.quantities(OTHER)) == ((0, 0), (0, 0))
    assert len(inventory.kept(CHANGES)) == 3
    # The refused ones' keys are free, those of the others are not.
    for key, free in (("a", True), ("d", True), ("b", False), ("c", False)):
        assert isinstance(await inventory.change(OTHER, 7, key), Changed) is free
