"""Ports and processes: two programs never take each other for one, and whoever waits for a process hears of its end."""

import asyncio
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chassis.testing import eventually, watched

import machine
import system as system_module
from system import ROOT, Ended, Service, all_healthy, attended, free_port

LOCAL = ROOT / "deploy" / "local"
NAME = "order-service"
ANSWERING = """
import json, os
async def app(scope, receive, send):
    while scope["type"] == "lifespan":
        await send({"type": (await receive())["type"] + ".complete"})
    body = json.dumps({"service": os.environ["ANSWERS_AS"]}).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
DYING = 'raise SystemExit("a setting is wrong")'


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator["Services"]:
    made = Services(tmp_path)
    yield made
    for service in made.all:
        await service.end(signal.SIGKILL)


class Services:
    """Processes that are started as services are, and do less."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.all: list[Service] = []

    def make(self, code: str = ANSWERING, *, answers_as: str = NAME) -> Service:
        number = len(self.all)
        (self._folder / f"pretended_{number}.py").write_text(code)
        environment = os.environ | {"PYTHONPATH": str(self._folder), "ANSWERS_AS": answers_as}
        service = Service(NAME, self._folder / f"{number}.log", environment)
        service.app = f"pretended_{number}:app"
        self.all.append(service)
        return service


@pytest.fixture
def occupied() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_no_port_is_drawn_twice(monkeypatch: pytest.MonkeyPatch, occupied: int) -> None:
    first, second, third = free_port(), free_port(), free_port()
    assert len({first, second, third}) == 3
    monkeypatch.setattr(machine, "_drawn", {first, second})
    draws = iter([first, occupied, second, first, third])
    monkeypatch.setattr(random, "randint", lambda *_: next(draws))
    assert free_port() == third


def test_drawing_ends_where_no_port_is_free(monkeypatch: pytest.MonkeyPatch, occupied: int) -> None:
    monkeypatch.setattr(random, "randint", lambda *_: occupied)
    with pytest.raises(AssertionError, match="no free port"):
        free_port()


async def test_a_port_that_was_taken_before_the_first_start_is_drawn_again(services: Services) -> None:
    service = services.make()
    with socket.create_server(("127.0.0.1", service.port)) as somebody:
        service.start()
        assert service.port != somebody.getsockname()[1]
        await all_healthy([service])


async def test_a_port_that_somebody_else_takes_between_two_starts_is_told(services: Services) -> None:
    service = services.make()
    service.start()
    await all_healthy([service])
    await service.end(signal.SIGKILL)
    other = services.make(answers_as=NAME)
    other.port = service.port
    other.start()
    await all_healthy([other])
    service.start()
    with pytest.raises(Ended, match=r"order-service has ended \(status \d\)(.|\n)*address already in use"):
        await attended_for_ever(service)


async def attended_for_ever(*services: Service) -> None:
    async with attended(lambda: services):
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 60)
        except TimeoutError:
            pytest.fail("nobody told")


async def test_a_service_that_dies_at_its_start_is_told_at_once_with_its_log(services: Services) -> None:
    well, dying = services.make(), services.make(DYING)
    well.start()
    dying.start()
    with pytest.raises(Ended, match=r"order-service has ended \(status 1\)(.|\n)*a setting is wrong"):
        await all_healthy([well, dying], within_seconds=60)


async def test_another_services_answer_is_no_sign_of_health(services: Services) -> None:
    """Two services once drew the same port, and each was taken for the other."""
    service = services.make(answers_as="inventory-service")
    service.start()
    await eventually(lambda: service.running)
    with pytest.raises(AssertionError, match="'service': 'inventory-service'"):
        await all_healthy([service], within_seconds=3)


async def test_whatever_is_waited_for_a_service_that_ends_is_told(services: Services) -> None:
    service = services.make()
    service.start()
    await all_healthy([service])
    watched.append(service.look)
    try:
        os.kill(service.pid, signal.SIGKILL)
        with pytest.raises(Ended, match=r"status -9"):
            await attended_for_ever(service)
        with pytest.raises(Ended, match=r"status -9"):
            await eventually(lambda: False, seconds=60)
    finally:
        watched.remove(service.look)


async def test_what_fails_because_a_service_has_ended_says_so(services: Services) -> None:
    service = services.make()
    service.start()
    await all_healthy([service])

    @attended(lambda: [service])
    async def fail() -> None:
        os.kill(service.pid, signal.SIGKILL)
        raise ConnectionResetError

    with pytest.raises(Ended, match=r"status -9"):
        await fail()
    with pytest.raises(asyncio.TimeoutError):
        async with attended(list), asyncio.timeout(0.05):
            await asyncio.Event().wait()


async def test_whom_we_end_ourselves_nobody_misses(services: Services) -> None:
    service = services.make()
    service.start()
    await all_healthy([service])
    async with attended(lambda: [service]):
        await service.end(signal.SIGKILL)
        await asyncio.sleep(3 * system_module._LOOK_EVERY_SECONDS)
