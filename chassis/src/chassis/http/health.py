"""Health: what this instance can do now. Every request asks the parts themselves."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

RESTART_AFTER_SECONDS = 60
"""How long a consumer may fail while the broker is connected, before a restart is the better cure."""

Check = Callable[[], Awaitable[str | None]]
"""Returns what is wrong in a few words, or None."""


class Finding(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["ok", "failing"]
    """Whether it works."""
    detail: str | None = None
    """What is wrong."""


class Health(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["ok", "failing"]
    """Whether all checks are."""
    service: str
    """Which service this is."""
    version: str
    """Its version."""
    access: str
    """Who is checked."""
    checks: dict[str, Finding]
    """What this instance needs, by name."""


def all_of(checks: Sequence[Check]) -> Check:
    """One check that reports the problems of all."""

    async def check() -> str | None:
        return "; ".join([problem for each in checks if (problem := await each())]) or None

    return check


def router(
    about: Mapping[str, str], checks: Mapping[str, Check], ready: Iterable[str], lost: Mapping[str, Check] | None = None
) -> APIRouter:
    """`about` has the service, its version and its access. `ready` names the checks that must succeed to serve
    requests; `lost` has checks for what only a restart cures."""
    routes = APIRouter(tags=["health"])
    consumer_lost_at: float | None = None

    async def ask(asked: Mapping[str, Check]) -> dict[str, str | None]:
        nonlocal consumer_lost_at
        results = dict(zip(asked, await asyncio.gather(*(check() for check in asked.values())), strict=True))
        if "consumer" in results:
            away = results["consumer"] is not None and results.get("broker") is None
            consumer_lost_at = (consumer_lost_at or time.monotonic()) if away else None
        if "jobs" in results and results.get("database"):
            results["jobs"] = None  # jobs can't run without the database, which has a check of its own
        return results

    def answer(results: Mapping[str, str | None]) -> Response:
        failing = any(results.values())
        findings = {
            name: Finding(status="failing" if problem else "ok", detail=problem) for name, problem in results.items()
        }
        health = Health(status="failing" if failing else "ok", **about, checks=findings)
        body = health.model_dump_json(exclude_none=True)
        return Response(body, 503 if failing else 200, media_type="application/json")

    unwell: dict[int | str, dict[str, Any]] = {
        503: {"model": Health, "description": "At least one check fails; its detail says why."}
    }

    @routes.get("/health", response_model=Health, responses=unwell)
    async def health() -> Response:
        """Whether everything works that this instance needs."""
        return answer(await ask(checks))

    @routes.get("/health/ready", response_model=Health, responses=unwell)
    async def readiness() -> Response:
        """Whether this instance can serve requests."""
        return answer(await ask({name: checks[name] for name in ready}))

    @routes.get("/health/live", response_model=Health, responses=unwell)
    async def liveness() -> Response:
        """Fails only for what a restart cures."""
        results = await ask(lost or {})
        if {"consumer", "broker"} <= set(checks):
            consumer = await ask({name: checks[name] for name in ("consumer", "broker")})
            if consumer_lost_at is not None and time.monotonic() - consumer_lost_at > RESTART_AFTER_SECONDS:
                results["consumer"] = consumer["consumer"]
        return answer({name: problem for name, problem in results.items() if problem})

    return routes
