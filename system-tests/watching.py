"""What `make up OBSERVE=1` starts, on a system of the tests. A minute of the rules is a second here, so that an alert
fires within seconds."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from chassis.testing import eventually

from local import run_local
from machine import ROOT, free_port
from system import System

OBSERVABILITY = ROOT / "deploy" / "observability"
RULES = ("alerts.yml", "slos.yml")
_SCRAPED_EVERY = "500ms"
_BOOKS_EVERY_SECONDS = 1
_STARTED_WITHIN_SECONDS = 30
_ASK = """
import observe, profiles, replicas
profile = profiles.load({profile!r})
profile.ports |= {ports!r}
print(observe.of_prometheus(profile))
"""


def program(name: str) -> str:
    """Its path; skips, or fails where REQUIRE_SERVERS is set, if it isn't there."""
    if (found := shutil.which(name)) is None:
        package = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}.get(name, name)
        how = f"`make test` at the root brings it, as does `sudo sh deploy/local/packages.sh {package}`"
        if os.environ.get("REQUIRE_SERVERS"):
            pytest.fail(f"{name} is not there: {how}")
        pytest.skip(f"{name} is not there: {how}")
    return found


def servers_ports() -> dict[str, int]:
    """Of the servers that are this run's own; nothing where they are somebody else's."""
    profile = os.environ.get("ORDER_PROCESSING_PROFILE")
    state = ROOT / ".run" / (profile or "") / "state.json"
    ports: dict[str, int] = json.loads(state.read_text())["ports"] if profile else {}
    return ports if "rabbitmq-metrics" in ports else {}


def hurried(rules: str) -> str:
    """The rules, in which a minute takes a second: ranges, `for`, and ages in seconds."""
    units = {"m": 1, "h": 60}
    text = re.sub(r"(\[|for: )(\d+)([mh])\b", lambda its: f"{its[1]}{int(its[2]) * units[its[3]]}s", rules)
    return re.sub(r"(seconds\) > )(\d+)", lambda its: f"{its[1]}{int(its[2]) // 60}", text)


class Watch:
    def __init__(self, system: System, folder: Path) -> None:
        self._system = system
        self._folder = folder
        self._ports = {name: free_port() for name in ("prometheus", "alertmanager", "metrics")}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._client = httpx.AsyncClient(timeout=30)

    def start(self, name: str) -> None:
        data, port = self._folder / name, self._ports[name]
        data.mkdir(exist_ok=True)
        address = f"--web.listen-address=127.0.0.1:{port}"
        if name == "metrics":
            options = [f"--port={port}", f"--books-every={_BOOKS_EVERY_SECONDS}"]
            command = [sys.executable, "-m", "operations", "metrics", *options]
        elif name == "alertmanager":
            options = [f"--config.file={OBSERVABILITY / 'alertmanager.yml'}", "--cluster.listen-address="]
            command = [program("prometheus-alertmanager"), address, f"--storage.path={data}", *options]
        else:
            options = [f"--config.file={self._configuration()}", f"--storage.tsdb.path={data}"]
            command = [program("prometheus"), address, *options]
        environment = os.environ | {"DATABASE_URL": self._system.database_url, "DATABASE_URL_FILE": ""}
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        self._processes[name].send_signal(number)
        self._processes[name].wait()

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query: `metric` and `value`."""
        answer = await self._client.get(
            f"http://127.0.0.1:{self._ports['prometheus']}/api/v1/query", params={"query": expression}
        )
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    async def firing(self, alert: str, labels: Mapping[str, str], *, inhibited: bool = True) -> bool:
        """Whether Alertmanager has been told so, and of no end since; also if another alert inhibits it."""
        answer = await self._client.get(
            f"http://127.0.0.1:{self._ports['alertmanager']}/api/v2/alerts",
            params={"inhibited": str(inhibited).lower()},
        )
        found = [its["labels"] for its in answer.json()]
        return any({"alertname": alert, **labels}.items() <= its.items() for its in found)

    async def ready(self) -> None:
        async def all_scraped() -> bool:
            try:
                answer = await self._client.get(f"http://127.0.0.1:{self._ports['prometheus']}/-/ready")
            except httpx.TransportError:
                return False
            up = await self.query("up == 1") if answer.is_success else []
            return len(up) == len(self._system.services) + 3 and bool(await self.query("books_violations"))

        await eventually(all_scraped, seconds=_STARTED_WITHIN_SECONDS)

    async def close(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is None:
                self.end(name, signal.SIGTERM)
        await self._client.aclose()

    def _configuration(self) -> Path:
        services = self._system.services.values()
        ports = self._ports | {name: int(url.rpartition(":")[2]) for name, url in self._system.internal_urls.items()}
        assert {service.name for service in services} <= ports.keys()
        text = run_local(_ASK.format(profile=os.environ["ORDER_PROCESSING_PROFILE"], ports=ports))
        for name in RULES:
            (self._folder / name).write_text(hurried((OBSERVABILITY / name).read_text()))
            text = text.replace(str(OBSERVABILITY / name), str(self._folder / name))
        configuration = self._folder / "prometheus.yml"
        configuration.write_text(re.sub(r"(_interval): 15s", rf"\1: {_SCRAPED_EVERY}", text))
        return configuration


@asynccontextmanager
async def watched(system: System, folder: Path) -> AsyncIterator[Watch]:
    if not servers_ports():
        pytest.skip("where RabbitMQ tells Prometheus of itself is known of its own servers: run `make test`")
    watch = Watch(system, folder)
    try:
        for name in ("metrics", "alertmanager", "prometheus"):
            watch.start(name)
        await watch.ready()
        yield watch
    finally:
        await watch.close()
