"""The stage: a pair of servers that may be broken, the instances, and a link of its own between each two."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.plan import INSTANCES, link, servers_of, service_of
from proxy import Proxy
from system import ROOT, Service, System, attended, fresh_system, through

_SERVERS = {"postgres": ("DATABASE_URL", 5432), "rabbitmq": ("RABBITMQ_URL", 5672)}
_COMMAND_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Pair:
    """PostgreSQL and RabbitMQ in a profile that is nobody else's: see deploy/local/."""

    profile: str

    async def start(self, server: str) -> None:
        await self._run("start", server)

    async def stop(self, server: str) -> None:
        await self._run("stop", server)

    async def kill(self, server: str) -> None:
        await self._run("kill", server)

    def wipe_broker(self) -> None:
        """Removes all that the broker, which must be down, has on disk."""
        shutil.rmtree(ROOT / ".run" / self.profile / "rabbitmq" / "data")

    async def _run(self, command: str, server: str) -> None:
        program = [sys.executable, str(ROOT / "deploy" / "local" / "run.py"), command, server]
        process = await asyncio.create_subprocess_exec(
            *program,
            "--profile",
            self.profile,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(_COMMAND_SECONDS):
            said, _ = await process.communicate()
        assert process.returncode == 0, f"{command} {server}: {said.decode()}"


@dataclass(frozen=True, slots=True)
class Stage:
    system: System
    """Its services are the instances."""
    pair: Pair
    links: dict[str, Proxy]

    def order_urls(self) -> list[str]:
        return [self.system.urls[instance] for instance in INSTANCES if service_of(instance) == "order-service"]

    def service(self, instance: str) -> Service:
        """The instance, which must run: nobody but the plan ends one."""
        service = self.system.services[instance]
        assert service.running, f"{instance} ended by itself; its log ends:\n{service.tail()}"
        return service


@asynccontextmanager
async def stage(profile: str, logs: Path) -> AsyncIterator[Stage]:
    """All instances are healthy. The servers are those that the environment names, and are `profile`'s.

    The deadline is short, so that some pass in the run too, and so that it comes to an end.
    """
    async with (
        fresh_system(
            logs,
            started=False,
            ORDER_EXPIRES_AFTER_SECONDS="45",
            PAYMENT_SUCCESS_RATE="0.7",
            PAYMENT_DECLINE_RATE="0.1",
            PAYMENT_TIMEOUT_RATE="0.05",
        ) as system,
        AsyncExitStack() as open_links,
    ):
        links: dict[str, Proxy] = {}
        direct = {name: service.environment for name, service in system.services.items()}
        for instance in INSTANCES:
            environment = dict(direct[service_of(instance)])
            for server in servers_of(instance):
                variable, port = _SERVERS[server]
                proxy = await open_links.enter_async_context(Proxy(environment[variable], default_port=port))
                environment[variable] = through(environment[variable], proxy)
                links[link(instance, server)] = proxy
            system.services[instance] = Service(service_of(instance), logs / f"{instance}.log", environment)
        try:
            system.start(*INSTANCES)
            async with attended(system.services.values):
                await system.healthy(*INSTANCES)
                yield Stage(system, Pair(profile), links)
        finally:
            await system.kill(*INSTANCES)
