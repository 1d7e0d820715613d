"""Asks every instance for its health all the time, and says how soon it told of a fault, and of its end."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

import httpx

from chaos.acts import Fault

ENDPOINTS = ("/health", "/health/ready")
_EVERY_SECONDS = 0.5
_ANSWER_SECONDS = 4.0


class Colours:
    """When an endpoint turned green and red; only the changes are kept."""

    def __init__(self) -> None:
        self._times = [0.0]
        self._green = [False]

    def note(self, now: float, green: bool) -> None:
        if green != self._green[-1]:
            self._times.append(now)
            self._green.append(green)

    def first(self, green: bool, since: float) -> float | None:
        """When it was so for the first time from the moment on."""
        start = bisect_right(self._times, since) - 1
        for index in range(start, len(self._times)):
            if self._green[index] == green:
                return max(self._times[index], since)
        return None


class Watch:
    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._colours = {(instance, endpoint): Colours() for instance in urls for endpoint in ENDPOINTS}

    async def look(self) -> None:
        """Returns never."""
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS) as client, asyncio.TaskGroup() as group:
            for instance, endpoint in self._colours:
                group.create_task(self._look_at(client, instance, endpoint))

    async def _look_at(self, client: httpx.AsyncClient, instance: str, endpoint: str) -> None:
        while True:
            try:
                green = (await client.get(f"{self._urls[instance]}{endpoint}")).status_code == 200
            except httpx.TransportError:
                green = False
            self._colours[instance, endpoint].note(time.monotonic(), green)
            await asyncio.sleep(_EVERY_SECONDS)

    def seconds_to_red(self, endpoint: str, faults: Sequence[Fault]) -> list[float]:
        """From a fault's beginning, for each instance that was green then and turned red while it lasted."""
        found = []
        for fault, instance, colours in self._touched(endpoint, faults):
            red = colours.first(False, fault.began)
            if red is not None and fault.began < red <= fault.ended and _alone(fault, instance, red, faults):
                found.append(red - fault.began)
        return found

    def seconds_to_green(self, endpoint: str, faults: Sequence[Fault]) -> list[float]:
        """From a fault's end, for each instance that was red then."""
        found = []
        for fault, instance, colours in self._touched(endpoint, faults):
            green = colours.first(True, fault.ended)
            if green is not None and fault.ended < green and _alone(fault, instance, green, faults):
                found.append(green - fault.ended)
        return found

    def _touched(self, endpoint: str, faults: Sequence[Fault]) -> Iterator[tuple[Fault, str, Colours]]:
        for fault in faults:
            for instance in fault.act.instances:
                yield fault, instance, self._colours[instance, endpoint]


def _alone(fault: Fault, instance: str, until: float, faults: Sequence[Fault]) -> bool:
    """Whether no other fault touched the instance between this one's beginning and the moment."""
    others = (other for other in faults if other is not fault and instance in other.act.instances)
    return not any(other.began < until and other.ended > fault.began for other in others)
