"""What tests on a real broker leave behind is tidied up."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest


@pytest.fixture(autouse=True)
async def collected() -> AsyncIterator[None]:
    """aio-pika closes a connection that was never made when it is collected, which needs a running loop."""
    yield
    gc.collect()
    await asyncio.sleep(0)
