"""Waiting for what the system does by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], *, within_seconds: float, every_seconds: float = 0.1) -> bool:
    """Waits until the condition holds, and returns whether it did in time. It is asked at least once."""
    deadline = time.monotonic() + within_seconds
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(every_seconds)
    return True
