"""The broker as it is in production, for all who attack it."""

from collections.abc import AsyncIterator

import pytest

from attacks.production import Guarded, guarded


@pytest.fixture(scope="module")
async def bus(rabbitmq_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    async with guarded(tmp_path_factory.mktemp("secrets")) as broker:
        done = await broker.load()
        assert done.returncode == 0, done.stderr
        yield broker
