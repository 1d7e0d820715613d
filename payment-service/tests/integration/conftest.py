from collections.abc import AsyncIterator

import pytest

from tests.fakes import FakeStore
from tests.postgres import PostgresStore


@pytest.fixture(params=["memory", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    """None for the store in memory, which runs without servers."""
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def store(store_url: str | None) -> AsyncIterator[FakeStore | PostgresStore]:
    """What a repository's suite is run on: the fake and the real one alike."""
    if store_url is None:
        yield FakeStore()
        return
    async with PostgresStore(store_url) as postgres:
        await postgres.empty()
        yield postgres


@pytest.fixture
async def postgres(database_url: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(database_url) as store:
        await store.empty()
        yield store
