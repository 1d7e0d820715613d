"""Where the services of a system send their spans: a receiver of OTLP (oteltap) for each, so we know whose they are."""

import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis.testing import eventually

from machine import free_port
from operations.addresses import SERVICES

_FAILED = 2
"""STATUS_CODE_ERROR of opentelemetry/proto/trace/v1/trace.proto."""


@dataclass(frozen=True)
class Seen:
    """A span; `parent` is empty for the first of a trace."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    links: frozenset[tuple[str, str]]
    attributes: Mapping[str, str]
    failed: bool


class Collector:
    def __init__(self, folder: Path) -> None:
        self._ports = {name: free_port() for name in SERVICES}
        self._files = {name: folder / f"{name}.ndjson" for name in SERVICES}
        self._processes: list[subprocess.Popen[bytes]] = []

    def endpoint(self, service: str) -> str:
        return f"http://127.0.0.1:{self._ports[service]}"

    @property
    def spans(self) -> list[Seen]:
        lines = ((name, line) for name, file in self._files.items() for line in file.read_text().splitlines(True))
        return [_seen(name, json.loads(line)) for name, line in lines if line.startswith("{") and line.endswith("}\n")]

    def of(self, trace: str) -> list[Seen]:
        return [span for span in self.spans if span.trace == trace]

    def named(self, trace: str, name: str) -> list[Seen]:
        return [span for span in self.of(trace) if span.name == name]

    def start(self) -> None:
        for name, port in self._ports.items():
            with self._files[name].open("wb") as output:
                command = [sys.executable, "-m", "oteltap", "--port", str(port)]
                self._processes.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))

    def answers(self) -> bool:
        return all(map(_answers, self._ports.values()))

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@asynccontextmanager
async def collector(folder: Path) -> AsyncIterator[Collector]:
    collecting = Collector(folder)
    try:
        collecting.start()
        await eventually(collecting.answers)
        yield collecting
    finally:
        collecting.end()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _seen(service: str, span: Mapping[str, Any]) -> Seen:
    return Seen(
        service,
        span["name"],
        span["traceId"],
        span["spanId"],
        span["parentSpanId"],
        frozenset((link["traceId"], link["spanId"]) for link in span["links"]),
        {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]},
        span["status"]["code"] == _FAILED,
    )
