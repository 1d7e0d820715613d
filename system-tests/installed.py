"""The system as `make up` runs it, natively, under a profile of the test run's own: what a person does by commands."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from operations.addresses import SERVICES
from system import ROOT
from way import SECURE


class Failed(Exception):
    """What the command said that ended with another status than 0."""


class Installed:
    def __init__(self, profile: str, settings: dict[str, str]) -> None:
        self._profile = profile
        self._environment = os.environ | settings
        self.database_url = self.rabbitmq_url = ""
        self.urls: dict[str, str] = {}

    @property
    def internal_urls(self) -> dict[str, str]:
        assert not SECURE, "nobody asks for them there"
        return self.urls

    async def command(self, name: str, *arguments: str) -> str:
        """As `make` calls it. Raises Failed."""
        program = [sys.executable, str(ROOT / "deploy" / "local" / "run.py"), name, "--profile", self._profile]

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*program, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,  # nobody is there to be asked
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )

        done = await asyncio.to_thread(run)
        if done.returncode != 0:
            raise Failed(done.stdout)
        return done.stdout

    async def up(self) -> None:
        await self.command("up")
        await self.look_up()

    async def look_up(self) -> None:
        """Where it is: services that are started anew get other ports."""
        addresses: dict[str, str] = json.loads(await self.command("env", "--json"))
        self.database_url, self.rabbitmq_url = addresses["DATABASE_URL"], addresses["RABBITMQ_URL"]
        if SECURE:  # where the tests, who listen to events, are an administrator, and not the operator
            self.database_url, self.rabbitmq_url = os.environ["DATABASE_URL"], os.environ["RABBITMQ_URL"]
        self.urls |= {name: addresses[f"{name.upper().replace('-', '_')}_URL"] for name in SERVICES}

    async def stop(self, *names: str) -> None:
        for name in names or SERVICES:
            await self.command("stop", name)

    def lines(self, service: str) -> list[dict[str, Any]]:
        """What it has logged, over all its starts."""
        log: Path = ROOT / ".run" / self._profile / "log" / f"{service}.log"
        return [json.loads(line) for line in log.read_text(errors="replace").splitlines() if line.startswith("{")]


@asynccontextmanager
async def installed(profile: str, **settings: str) -> AsyncIterator[Installed]:
    """Up until the end, on the pair of servers that the profile has."""
    system = Installed(profile, settings)
    try:
        await system.up()
        yield system
    finally:
        await system.stop()
