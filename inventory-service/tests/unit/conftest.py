from collections.abc import AsyncIterator
from types import ModuleType

import httpx
import pytest
from chassis.testing.running import NOWHERE, client_of

from tests.inventory import Inventory
from tests.running import load_main


@pytest.fixture
def inventory() -> Inventory:
    return Inventory()


@pytest.fixture(scope="session")
def composed() -> ModuleType:
    return load_main(DATABASE_URL=f"postgresql://{NOWHERE}/none", RABBITMQ_URL=f"amqp://{NOWHERE}/")


@pytest.fixture
def main(composed: ModuleType, inventory: Inventory) -> ModuleType:
    """main.py, with the service that it composes on PostgreSQL in memory."""
    inventory.replace_servers_of(composed.service)
    return composed


@pytest.fixture
async def client(main: ModuleType) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(main) as client:
        yield client
