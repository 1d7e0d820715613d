"""What tests on a real broker leave behind is tidied up."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest


@pytest.fixture(autouse=True)
async def collected(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """aio-pika closes a connection that was never made when it is collected, which needs a running loop. Until then the
    log that pytest keeps holds on to it."""
    yield
    caplog.clear()
    gc.collect()
    await asyncio.sleep(0)
