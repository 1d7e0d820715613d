"""`make up SECURE=1` as somebody runs it, in a profile of the run's own, and who may look at it from where."""

import asyncio
import json
import os
import shlex
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from attacks.edge import haproxy
from local import run_local
from operations.addresses import SERVICES
from system import ROOT

_RUN = [sys.executable, str(ROOT / "deploy" / "local" / "run.py")]


@dataclass(frozen=True, slots=True)
class Secured:
    word: str
    """The value of SECURE that means this one."""

    @property
    def home(self) -> Path:
        return ROOT / ".run" / f"secure-{self.word}"

    @property
    def ports(self) -> Mapping[str, int]:
        ports: dict[str, int] = json.loads((self.home / "state.json").read_text())["ports"]
        return ports

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SECURE": self.word, "OBSERVE": "1", "PAYMENT_SUCCESS_RATE": "1"}

    async def run(self, *words: str) -> str:
        """What the command of make has printed. Fails if the command does."""
        return await self.said(*_RUN, *words)

    async def said(self, *command: str | Path) -> str:
        done = await asyncio.to_thread(
            subprocess.run, command, env=self.environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    async def token(self, role: str, customer: UUID | None = None, *options: str) -> str:
        whose = ["--sub", str(customer)] if customer else []
        return (await self.run("token", "--role", role, *whose, f"--arguments={shlex.join(options)}")).strip()

    @property
    def password(self) -> str:
        """With which people sign in at the issuer."""
        return (self.home / "issuer" / "password").read_text().strip()

    def client(self, token: str = "", **options: Any) -> httpx.AsyncClient:
        """Somebody at the edge."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"https://localhost:{self.ports['edge']}"
        return httpx.AsyncClient(base_url=url, verify=self.tls(), headers=headers, timeout=30, **options)

    def past_the_edge(self, certificate: str = "", **options: Any) -> httpx.AsyncClient:
        """Somebody at the services' own ports, where their certificates bear their names."""
        context = self.tls()
        context.check_hostname = False
        if certificate:
            folder = self.home / "tls"
            context.load_cert_chain(folder / f"{certificate}.crt", folder / f"{certificate}.key")
        return httpx.AsyncClient(verify=context, timeout=30, **options)

    async def serial(self, port: int) -> str:
        """The number of the certificate that is shown at this port of this machine to the edge."""
        context = self.tls()
        context.check_hostname = False
        context.load_cert_chain(self.home / "tls" / "edge.crt", self.home / "tls" / "edge.key")
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        number: str = writer.get_extra_info("peercert")["serialNumber"]
        writer.transport.abort()
        return number

    def tls(self) -> ssl.SSLContext:
        """Trusts the profile's authority."""
        return ssl.create_default_context(cafile=str(self.home / "tls" / "ca.crt"))

    def secrets(self) -> Iterator[str]:
        """All passwords, and a line of each private key."""
        for path in (self.home / "secrets").glob("*password"):
            yield path.read_text().strip()
        for path in (*(self.home / "tls").glob("*.key"), *(self.home / "issuer").glob("*.pem")):
            yield path.read_text().splitlines()[1]
        yield self.password
        yield json.loads((self.home / "state.json").read_text())["secret"]
        yield (self.home / "rabbitmq" / ".erlang.cookie").read_text()

    def processes(self) -> dict[str, str]:
        """The command line and the environment of each process that make has started, by their numbers."""
        found = {}
        parents = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parents[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                found[folder.name] = (folder / "cmdline").read_text() + (folder / "environ").read_text(errors="replace")
            except OSError:
                continue  # it has ended
        ours = {(self.home / "supervisord.pid").read_text().strip()}
        while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
            ours |= more
        return {pid: text for pid, text in found.items() if pid in ours}


@asynccontextmanager
async def secured() -> AsyncIterator[Secured]:
    """Brought up from nothing, and gone afterwards. Skips, or fails where REQUIRE_SERVERS is set, without the servers'
    programs."""
    if run_local("import servers; print(servers._missing())") != "[]\n":
        pytest.skip("the secure way runs natively, and PostgreSQL and RabbitMQ aren't installed here")
    haproxy()
    system = Secured(os.environ.get("ORDER_PROCESSING_PROFILE", "smoke"))
    await system.run("reset")  # what a run that was killed left behind
    try:
        await system.run("up")
        yield system
    finally:
        await system.run("reset")


def service_url(system: Secured, name: str) -> str:
    assert name in SERVICES
    return f"https://127.0.0.1:{system.ports[name]}"
