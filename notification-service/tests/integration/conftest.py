from collections.abc import AsyncIterator
from types import ModuleType

import httpx
import pytest
from chassis.testing.running import running
from chassis.testing.world import World, world

from tests.running import load_main


@pytest.fixture(scope="module")
def main(rabbitmq_url: str) -> ModuleType:
    return load_main(rabbitmq_url)


@pytest.fixture(scope="module")
async def service(main: ModuleType) -> AsyncIterator[httpx.AsyncClient]:
    async with running(main) as client:
        yield client


@pytest.fixture(scope="module")
async def others(service: httpx.AsyncClient, rabbitmq_url: str) -> AsyncIterator[World]:
    """The other services, played by the test."""
    async with world(rabbitmq_url, "notification-service", "nothing") as around:
        yield around
