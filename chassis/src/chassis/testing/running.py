"""A service's main.py, run in the test's own process."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import httpx
import pytest
from chassis.testing import eventually

NOWHERE = "localhost:1"
"""An address at which no server answers."""


def load_main(folder: Path, **environment: str) -> ModuleType:
    """main.py, run anew: it reads the environment when it is imported, and twice the same is two replicas."""
    spec = spec_from_file_location(f"main_{uuid4().hex}", folder / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        spec.loader.exec_module(module)
    return module


def client_of(main: ModuleType) -> httpx.AsyncClient:
    """A client of the service's app, whether the service is started or not."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(main.app), base_url="http://service", timeout=30)


@asynccontextmanager
async def running(main: ModuleType, *, healthy: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service, which is started as uvicorn starts it and stopped at the end."""
    async with main.app.router.lifespan_context(main.app), client_of(main) as client:

        async def is_healthy() -> bool:
            return (await client.get("/health")).status_code == 200

        if healthy:
            await eventually(is_healthy)
        yield client
    if not healthy:
        # A connection that was never made is closed by aio-pika when it is collected, and only a running loop can.
        gc.collect()
        await asyncio.sleep(0)
