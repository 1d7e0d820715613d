from collections.abc import AsyncIterator

import pytest

from tests.postgres import Postgres


@pytest.fixture
async def postgres(database_url: str) -> AsyncIterator[Postgres]:
    """The tables are empty at first."""
    postgres = Postgres(database_url)
    await postgres.execute("TRUNCATE inventory_items, reservations, inbox, outbox")
    yield postgres
    await postgres.database.stop()
