"""What a person may break in development, and nobody anywhere else."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from chassis.http import development
from chassis.http.access import Guard, LocalOnly
from chassis.http.app import create_app
from fastapi import FastAPI

PROGRAM = """
import asyncio, httpx
from test_development import an_app
async def main():
    client = httpx.AsyncClient(transport=httpx.ASGITransport(an_app()), base_url="http://localhost")
    print((await client.post("/development/kill", json={})).status_code, flush=True)
    await asyncio.sleep(30)
asyncio.run(main())
"""
cut: list[str] = []


async def disconnect() -> None:
    cut.append("now")


def an_app(*, breakable: bool = True) -> FastAPI:
    guard = Guard("", LocalOnly(published=False).admit, development=breakable)
    routes = [development.router(disconnect)]
    return create_app(
        service="s", version="1", summary="", routers=[], parts=[], checks={}, ready=(), guard=guard, development=routes
    )


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_the_connections_to_the_broker_are_cut() -> None:
    async with client_of(an_app()) as client:
        assert (await client.post("/development/disconnect", json={})).status_code == 202
    assert cut == ["now"]


def test_a_process_is_killed_without_a_chance_to_finish_anything() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.splitlines()[-1], done.returncode) == ("202", -signal.SIGKILL), done.stderr


@pytest.mark.parametrize("act", ["kill", "disconnect"])
async def test_nobody_can_break_anything_where_callers_are_checked(act: str) -> None:
    async with client_of(an_app(breakable=False)) as client:
        assert (await client.post(f"/development/{act}", json={})).status_code == 404


@pytest.mark.parametrize("act", ["kill", "disconnect"])
async def test_no_foreign_page_breaks_anything_nor_a_request_that_is_no_json(act: str) -> None:
    async with client_of(an_app()) as client:
        foreign = await client.post(f"/development/{act}", json={}, headers={"origin": "https://elsewhere.example"})
        form = await client.post(f"/development/{act}", data={"a": "b"})
        assert (foreign.status_code, form.status_code) == (403, 415)
        assert (await client.get("/openapi.json")).json()["paths"].keys() == {
            "/health",
            "/health/live",
            "/health/ready",
        }
