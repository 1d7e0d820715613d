from collections.abc import AsyncIterator
from types import ModuleType

import httpx
import pytest
from chassis.testing.running import load_main

from tests.contracts import ROOT
from tests.inventory import Inventory

NOWHERE = "localhost:1"


@pytest.fixture
def inventory() -> Inventory:
    return Inventory()


@pytest.fixture(scope="session")
def composed() -> ModuleType:
    addresses = {"DATABASE_URL": f"postgresql+asyncpg://{NOWHERE}/none", "RABBITMQ_URL": f"amqp://{NOWHERE}/"}
    return load_main(ROOT / "inventory-service", **addresses)


@pytest.fixture
def main(composed: ModuleType, inventory: Inventory) -> ModuleType:
    """main.py, with the service that it composes on PostgreSQL in memory."""
    composed.service.database, composed.service.publisher = inventory.database, inventory.publisher
    return composed


@pytest.fixture
async def client(main: ModuleType) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(main.app), base_url="http://inventory") as client:
        yield client
