"""The edge as it is deployed, HAProxy with deploy/edge/haproxy.cfg, with ports and certificates of a test."""

import json
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from chassis.testing import eventually

from machine import ROOT, free_port
from operations.addresses import SERVICES

PAGE = "console"
CONFIGURATION = ROOT / "deploy" / "edge" / "haproxy.cfg"
_MAKE_CERTIFICATES = ROOT / "deploy" / "tls" / "make-certificates"


def haproxy() -> str:
    """The program; skips, or fails where REQUIRE_SERVERS is set, if there is none."""
    program = os.environ.get("HAPROXY") or shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        how = "there is no haproxy: install it (`sudo sh deploy/local/packages.sh haproxy`), or run `make test`"
        if os.environ.get("REQUIRE_SERVERS"):
            pytest.fail(how)
        pytest.skip(how)
    return program


def make_certificates(folder: Path, *names: str) -> None:
    subprocess.run([str(_MAKE_CERTIFICATES), str(folder), *names], check=True, timeout=30)


def backends(replicas: Mapping[str, Sequence[int]], health_port: Callable[[int], int] | None = None) -> str:
    """The second file of the configuration: the replicas of each service and of the page, by their ports, which tell of
    their health there or at another port."""
    lines = []
    for service in (*SERVICES, PAGE):
        lines.append(f"backend {service} from {'page' if service == PAGE else 'service'}\n")
        for number, port in enumerate(replicas.get(service, ()), start=1):
            health = f" port {health_port(port)}" if health_port else ""
            lines.append(f"    server {number} 127.0.0.1:{port} check{health} verifyhost {service}\n")
    return "".join(lines)


def memory(*pids: str | int) -> int:
    """Of these processes, in megabytes."""
    return sum(map(int, subprocess.check_output(["ps", "-o", "rss=", "-p", ",".join(map(str, pids))]).split())) // 1024


class Edge:
    def __init__(
        self,
        folder: Path,
        replicas: Mapping[str, Sequence[int]],
        settings: Mapping[str, str],
        *,
        certificates: Path | None = None,
        health_port: Callable[[int], int] | None = None,
    ) -> None:
        """`certificates`: where its own is made, by the authority there, or by a new one."""
        self.folder = folder
        self.replicas = replicas
        """Those that it starts with."""
        self._certificates = certificates or folder
        self._health_port = health_port
        self.port, self.metrics_port = free_port(), free_port()
        self.log = folder / "edge.log"
        self._environment = os.environ | {
            "EDGE_PORT": str(self.port),
            "EDGE_CERTIFICATE": str(self._certificates / "edge.crt"),
            "EDGE_METRICS_PORT": str(self.metrics_port),
            # What a test doesn't ask for must not meet a test that sends much.
            "EDGE_REQUESTS_PER_ADDRESS": "1000000",
            "EDGE_NEW_CONNECTIONS_PER_ADDRESS": "1000000",
            "EDGE_CONNECTIONS_PER_ADDRESS": "1000",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def started(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._certificates / "ca.crt"))

    def client(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, verify=self.tls(), timeout=30, **options)

    async def start(self) -> None:
        make_certificates(self._certificates, "edge,localhost,127.0.0.1")
        (self.folder / "backends.cfg").write_text(backends(self.replicas, self._health_port))
        command = [haproxy(), "-W", "-f", str(CONFIGURATION), "-f", str(self.folder / "backends.cfg")]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: ASYNC220  # it returns at once
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

        async def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
            return "haproxy_server_status" in await self.metrics()

        await eventually(answers, seconds=20)

    def reload(self) -> None:
        os.kill(self.pid, signal.SIGUSR2)

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)

    async def metrics(self) -> str:
        try:
            async with httpx.AsyncClient(timeout=10) as client:
                return (await client.get(f"http://127.0.0.1:{self.metrics_port}/metrics")).text
        except httpx.TransportError:
            return ""

    async def up(self, service: str) -> set[str]:
        """The numbers of its replicas that get requests."""
        start, end = f'haproxy_server_status{{proxy="{service}",server="', '",state="UP"} 1'
        lines = (await self.metrics()).splitlines()
        return {line.removeprefix(start).removesuffix(end) for line in lines if line.startswith(start) and end in line}

    def lines(self) -> list[dict[str, Any]]:
        """The requests that it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@asynccontextmanager
async def running_edge(folder: Path, replicas: Mapping[str, Sequence[int]], **settings: str) -> AsyncIterator[Edge]:
    edge = Edge(folder, replicas, settings)
    try:
        await edge.start()
        yield edge
    finally:
        edge.end()
