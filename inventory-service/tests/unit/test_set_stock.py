from uuid import UUID

from application.set_stock import SetStock, set_stock
from tests.inventory import Inventory

PRODUCT, OTHER = UUID(int=1), UUID(int=2)


async def test_the_first_to_set_a_product_makes_it(inventory: Inventory) -> None:
    first, second = await inventory.stock(PRODUCT, 5), await inventory.stock(PRODUCT, 7)
    assert (first.created, second.created) == (True, False)
    assert first.item.id == second.item.id
    assert inventory.quantities(PRODUCT) == (7, 0)


async def test_each_command_of_a_batch_gets_its_own_answer_and_the_last_one_stays(inventory: Inventory) -> None:
    commands = [SetStock(PRODUCT, 1), SetStock(OTHER, 2), SetStock(PRODUCT, 3)]
    results = await inventory.run(set_stock, commands)
    answers = [(one.created, one.item.quantity_available) for one in results]
    assert answers == [(True, 1), (True, 2), (False, 3)]
    assert (inventory.quantities(PRODUCT), inventory.quantities(OTHER)) == ((3, 0), (2, 0))
