"""A database in which an order of every kind stands, for tests to plant mistakes in."""

from collections.abc import AsyncIterator, Iterator

import pytest
from chassis.testing import make_database

from tests import ledger
from tests.ledger import MIGRATED
from tests.planted import Planted


@pytest.fixture(scope="session")
def migrated_database_url(database_url: str) -> Iterator[str]:
    """A database with all three schemas, on which no service runs."""
    url, drop = make_database(*MIGRATED)
    yield url
    drop()


@pytest.fixture(scope="session")
async def prepared(migrated_database_url: str) -> AsyncIterator[Planted]:
    planted = await Planted.prepared(migrated_database_url)
    yield planted
    await planted.close()


@pytest.fixture
async def planted(prepared: Planted) -> Planted:
    """In order until the test plants something."""
    await prepared.write(ledger.whole())
    return prepared
