from collections.abc import AsyncIterator
from types import ModuleType

import httpx
import pytest
from chassis.testing.running import NOWHERE, client_of

from infrastructure.unit_of_work import OrderUnitOfWork
from tests.builders import NOON
from tests.running import OrderUnits, load_main


@pytest.fixture
def units() -> OrderUnits:
    units = OrderUnits(OrderUnitOfWork)
    units.now = NOON
    return units


@pytest.fixture(scope="session")
def composed() -> ModuleType:
    return load_main(DATABASE_URL=f"postgresql://{NOWHERE}/none", RABBITMQ_URL=f"amqp://{NOWHERE}/")


@pytest.fixture
def main(composed: ModuleType, units: OrderUnits) -> ModuleType:
    """main.py, with the service that it composes on PostgreSQL in memory."""
    units.replace_servers_of(composed.service)
    return composed


@pytest.fixture
async def client(main: ModuleType) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(main) as client:
        yield client
