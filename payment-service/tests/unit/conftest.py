from collections.abc import AsyncIterator
from types import ModuleType

import httpx
import pytest
from chassis.testing.running import client_of

from domain.attempt import Answer
from tests.gateway import FakeGateway
from tests.running import load_main_without_servers
from tests.till import Till


@pytest.fixture(scope="session")
def composed() -> ModuleType:
    return load_main_without_servers()


@pytest.fixture
def till() -> Till:
    return Till(FakeGateway(Answer.ERROR, Answer.DONE))


@pytest.fixture
def main(composed: ModuleType, till: Till) -> ModuleType:
    """main.py, with the service that it composes on the till's database."""
    till.units.replace_servers_of(composed.service)
    return composed


@pytest.fixture
async def client(main: ModuleType) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(main) as client:
        yield client
