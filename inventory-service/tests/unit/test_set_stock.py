from decimal import Decimal
from types import EllipsisType
from uuid import UUID

from application.set_stock import SetStock, Stocked, set_stock
from domain.errors import StockRevised
from infrastructure.unit_of_work import ITEMS
from tests.inventory import Inventory
from tests.messages import PRICE

PRODUCT, OTHER = UUID(int=1), UUID(int=2)


async def test_the_first_to_set_a_product_makes_it(inventory: Inventory) -> None:
    first, second = await inventory.stock(PRODUCT, 5), await inventory.stock(PRODUCT, 7)
    assert (first.created, second.created) == (True, False)
    assert first.item.id == second.item.id
    assert inventory.quantities(PRODUCT) == (7, 0)


async def test_each_command_of_a_batch_gets_its_own_answer_and_the_last_one_stays(inventory: Inventory) -> None:
    commands = [SetStock(PRODUCT, 1), SetStock(OTHER, 2), SetStock(PRODUCT, 3)]
    results = await inventory.run(set_stock, commands)
    answers = [(one.created, one.item.quantity_available) for one in results if isinstance(one, Stocked)]
    assert answers == [(True, 1), (True, 2), (False, 3)]
    assert (inventory.quantities(PRODUCT), inventory.quantities(OTHER)) == ((3, 0), (2, 0))


async def test_a_price_stays_until_it_is_set_or_taken_away(inventory: Inventory) -> None:
    async def price_after(quantity: int, price: Decimal | EllipsisType | None = ...) -> Decimal | None:
        stocked = await inventory.stock(PRODUCT, quantity, price)
        assert inventory.item(PRODUCT).price == stocked.item.price
        return stocked.item.price

    assert await price_after(1) is None
    assert await price_after(2, PRICE) == PRICE
    assert await price_after(3) == PRICE
    assert await price_after(4, Decimal(20)) == Decimal(20)
    assert await price_after(5, None) is None
    assert inventory.quantities(PRODUCT) == (5, 0)


async def test_of_two_who_set_what_they_have_both_read_the_second_is_refused(inventory: Inventory) -> None:
    """In one batch too, and whether the stock is new or not."""
    for read in (0, 1):
        first, second = await inventory.run(
            set_stock, [SetStock(PRODUCT, quantity, only_at=read.__eq__) for quantity in (read + 7, 3)]
        )
        assert isinstance(first, Stocked)
        assert first.item.revision == read + 1
        assert isinstance(second, StockRevised)
        assert inventory.quantities(PRODUCT) == (read + 7, 0)
    assert inventory.item(PRODUCT).revision == 2


async def test_what_is_refused_for_its_condition_creates_nothing(inventory: Inventory) -> None:
    [refused] = await inventory.run(set_stock, [SetStock(PRODUCT, 1, only_at=(3).__eq__)])
    assert isinstance(refused, StockRevised)
    assert inventory.kept(ITEMS) == {}
