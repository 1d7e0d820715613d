"""A vhost furnished for production: a broker user for each service, each with a password in a file."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import httpx
from aio_pika import Message
from aio_pika.abc import AbstractChannel
from chassis.messaging.envelope import SINGLE
from chassis.messaging.origin import OPERATOR
from chassis.messaging.topology import EXCHANGE
from chassis.testing import broker_urls, make_vhost

from operations.addresses import SERVICES
from system import DEFINITIONS, ROOT

STEP = DEFINITIONS.with_name("load_definitions.py")
ORDER, INVENTORY, PAYMENT, NOTIFICATION, *_ = SERVICES
USERS = (*SERVICES, OPERATOR)


@dataclass(frozen=True, slots=True)
class Guarded:
    administrator: str
    """The AMQP address of who may do everything here: nobody else may, whose password is known."""
    management: str
    """The management API's address, for the same one."""
    vhost: str
    folder: Path

    def set_password(self, user: str, password: str | None = None) -> None:
        (self.folder / user).write_text(f"{password or secrets.token_urlsafe()}\n")

    def url(self, user: str, password: str | None = None) -> str:
        return with_login(self.administrator, user, password or (self.folder / user).read_text().strip())

    @property
    def environment(self) -> Mapping[str, str]:
        """Of the step that loads the definitions."""
        files = {f"{user.upper().replace('-', '_')}_RABBITMQ_PASSWORD_FILE": str(self.folder / user) for user in USERS}
        return os.environ | files | {"RABBITMQ_MANAGEMENT_URL": f"{self.management}/{self.vhost}"}

    async def load(self, *options: str, environment: str = "production") -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(STEP), *options],
            env={**self.environment, "ENVIRONMENT": environment},
            capture_output=True,
            text=True,
        )

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """While the step watches the broker, which it has furnished once."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(STEP),
            "--watch",
            env={**self.environment, "ENVIRONMENT": "production"},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            assert await process.stdout.readline()
            yield
        finally:
            process.terminate()
            await process.wait()

    @asynccontextmanager
    async def channel(self, user: str) -> AsyncIterator[AbstractChannel]:
        """Of somebody who has the user's password."""
        async with await aio_pika.connect(self.url(user)) as connection:
            yield await connection.channel(on_return_raises=True)


def with_login(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}"))


@asynccontextmanager
async def administrator_of(vhost: str) -> AsyncIterator[tuple[str, str]]:
    """Name and password of somebody who may do everything there, as meanwhile nobody may whose password is known:
    production refuses such a broker."""
    management = broker_urls()[1]
    login = f"administrator_of_{vhost}", secrets.token_urlsafe()
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    known = f"/api/permissions/{vhost}/{urlsplit(management).username}"
    async with httpx.AsyncClient(base_url=management, timeout=30) as client:
        try:
            administrator = {"password": login[1], "tags": "administrator"}
            (await client.put(f"/api/users/{login[0]}", json=administrator)).raise_for_status()
            (await client.put(f"/api/permissions/{vhost}/{login[0]}", json=everything)).raise_for_status()
            (await client.delete(known)).raise_for_status()
            yield login
        finally:
            await client.put(known, json=everything)  # unless the vhost is gone
            await client.delete(f"/api/users/{login[0]}")


@asynccontextmanager
async def guarded(folder: Path) -> AsyncIterator[Guarded]:
    """An empty vhost with an administrator of its own, which go again with the users."""
    url, vhost, delete = await asyncio.to_thread(make_vhost)
    async with administrator_of(vhost) as login:
        broker = Guarded(with_login(url, *login), with_login(broker_urls()[1], *login), vhost, folder)
        for user in USERS:
            broker.set_password(user)
        try:
            yield broker
        finally:
            await asyncio.to_thread(delete)
            async with httpx.AsyncClient(base_url=broker_urls()[1], timeout=30) as client:
                for name in USERS:
                    await client.delete(f"/api/users/{name}")


def event(name: str, **changes: Any) -> dict[str, Any]:
    [path] = ROOT.glob(f"*/contracts/{name}.example.json")
    example: dict[str, Any] = json.loads(path.read_text())
    return example | {"id": str(uuid4())} | changes


async def publish(
    channel: AbstractChannel, document: object, key: str, *, exchange: str = EXCHANGE, **properties: Any
) -> None:
    target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
    await target.publish(Message(json.dumps(document).encode(), content_type=SINGLE, **properties), key)
