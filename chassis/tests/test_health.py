"""What /health, /health/ready and /health/live make of their checks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
from chassis.http import health
from chassis.postgres.database import Database
from chassis.runtime.jobs import Periodic
from chassis.runtime.service import Service
from chassis.testing.access import OPEN
from chassis.testing.memory import MemoryDatabase
from fastapi import FastAPI
from tests.note_service import CONSUMED, SERVICE, NotesUnitOfWork, red_checks, take_notes
from tests.watch import SlowBroker

ABOUT = {"service": SERVICE, "version": "1", "access": "a test: nobody is checked"}


class Checks:
    """Checks that say what the test wants, asked by a client."""

    def __init__(self, *names: str) -> None:
        self.say: dict[str, str | None] = dict.fromkeys(names)

    def of(self, *names: str) -> dict[str, health.Check]:
        def check(name: str) -> health.Check:
            async def answer() -> str | None:
                return self.say[name]

            return answer

        return {name: check(name) for name in names}


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@asynccontextmanager
async def asked(router: Any) -> AsyncIterator[Callable[[str], Awaitable[httpx.Response]]]:
    app = FastAPI()
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client.get


async def test_live_is_red_once_a_consumer_was_away_for_a_minute_from_a_broker_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, checks = Clock(), Checks("broker", "consumer")
    monkeypatch.setattr(health, "time", clock)
    router = health.router(ABOUT, checks.of("broker", "consumer"), ready=())
    async with asked(router) as get:
        for second, path, broker, consumer, red in [
            (0, "live", None, "gone", False),
            (59, "live", None, "gone", False),
            (61, "live", None, "gone", True),
            (62, "live", None, None, False),
            (63, "live", None, "gone", False),  # begins anew
            (122, "live", None, "gone", False),
            (124, "live", None, "gone", True),
            (125, "live", "gone", "gone", False),  # what a restart would not cure
            (190, "live", "gone", "gone", False),
            (191, "", None, "gone", True),  # /health notes it too
            (252, "live", None, "gone", True),
        ]:
            clock.now = 1000.0 + second
            checks.say.update(broker=broker, consumer=consumer)
            answer = await get(f"/health/{path}".rstrip("/"))
            assert answer.status_code == (503 if red else 200), second
            if red:
                assert answer.json()["checks"]["consumer"] == {"status": "failing", "detail": "gone"}


async def test_jobs_that_a_database_away_keeps_from_running_are_not_told_of_beside_it() -> None:
    checks = Checks("database", "jobs")
    async with asked(health.router(ABOUT, checks.of("database", "jobs"), ready=("database",))) as get:
        for database, jobs, shown in [
            (None, None, {}),
            (None, "late", {"jobs": "late"}),
            ("away", "late", {"database": "away"}),
            ("away", None, {"database": "away"}),
        ]:
            checks.say.update(database=database, jobs=jobs)
            assert red_checks(await get("/health")) == shown


async def test_every_job_of_a_service_is_watched_and_one_that_is_lost_asks_for_a_restart() -> None:
    until = asyncio.Event()

    async def hang() -> None:
        await until.wait()

    hanging, ended = Periodic("one", 1, hang), Periodic("other", 1, hang)
    database = cast(Database, MemoryDatabase())
    service = Service(
        SERVICE,
        unit_of_work=NotesUnitOfWork,
        consumed=CONSUMED,
        database=database,
        broker=SlowBroker(),
        guard=OPEN,
    )
    service.consumes(take_notes)
    service.jobs += [hanging, ended]
    app = service.app("", version="1", routers=[], errors={})
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        assert (await client.get("/health")).json()["checks"]["jobs"] == {"status": "ok"}
        for job in (hanging, ended):
            job._well_at -= 3600
        shown = red_checks(await client.get("/health"))
        assert shown["jobs"].startswith("one: no turn has ended well for")
        assert "; other: no turn has ended well for" in shown["jobs"]
        live = await client.get("/health/live")
        assert (live.status_code, live.json()["checks"]) == (200, {})

        assert ended._task is not None
        ended._task.cancel()
        await asyncio.wait([ended._task])
        assert red_checks(await client.get("/health/live")) == {"jobs": "other: its loop has ended"}
        assert (await client.get("/health/ready")).status_code == 200
        until.set()
