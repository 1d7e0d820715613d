import pytest

from tests.inventory import Inventory


@pytest.fixture
def inventory() -> Inventory:
    return Inventory()
