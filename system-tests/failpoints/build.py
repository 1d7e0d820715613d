"""The service in whose folder this runs, with failpoints; see the package. It waits less than the real one for what a
crash leaves behind."""

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from aio_pika import IncomingMessage
from chassis.messaging.broker import Broker
from chassis.messaging.consumer import Consumer
from chassis.messaging.publisher import Publisher
from chassis.messaging.topology import EXCHANGE
from chassis.ports.events import Outgoing, Received
from sqlalchemy.ext.asyncio import AsyncConnection

import failpoints
from failpoints import DEAD_LETTERS, HANDLERS_FAIL, RETRIES, armed, say

FILE = Path(os.environ["FAILPOINT_FILE"])
reached = partial(failpoints.reached, FILE)
reached_slowly = partial(failpoints.reached_slowly, FILE)


def hasten(module: str, **constants: object) -> None:
    vars(import_module(module)).update(constants)


def patch_database() -> None:
    commit = AsyncConnection.commit

    async def reach_and_commit(self: AsyncConnection) -> None:
        await reached_slowly("before-commit")
        await commit(self)

    AsyncConnection.commit = reach_and_commit  # type: ignore[method-assign]


def patch_outbox() -> None:
    send, delete, publish = Publisher.send, Publisher._delete, Broker.publish

    def reach_and_send(self: Publisher, events: Sequence[Outgoing]) -> None:
        if events:
            reached("committed-before-publish", *(event.routing_key for event in events))
        send(self, events)

    async def publish_and_reach(
        self: Broker, routing_key: str, *message: Any, exchange: str = EXCHANGE, **rest: Any
    ) -> None:
        if exchange != EXCHANGE:
            await publish(self, routing_key, *message, exchange=exchange, **rest)
            reached("set-aside-before-ack", DEAD_LETTERS if routing_key.endswith(".dlq") else RETRIES)
            return
        await reached_slowly("unconfirmed", routing_key)
        await publish(self, routing_key, *message, **rest)
        reached("published-before-delete", routing_key)

    async def reach_and_delete(self: Publisher) -> None:
        confirmed, task = bool(self._confirmed), asyncio.current_task()
        if confirmed and task and task.get_name() == "outbox sweep":
            reached("swept-before-delete")
        await delete(self)
        if confirmed:
            reached("deleted")

    Publisher.send, Publisher._delete = reach_and_send, reach_and_delete  # type: ignore[method-assign]
    Broker.publish = publish_and_reach  # type: ignore[method-assign]


def patch_consumer() -> None:
    attempt, ack = Consumer._attempt, IncomingMessage.ack

    async def attempt_and_reach(self: Any, events: Sequence[Received]) -> None:
        if armed(FILE) == HANDLERS_FAIL:
            raise RuntimeError("armed to fail")
        await attempt(self, events)
        reached("events-before-ack", *(event.type for event in events))

    async def ack_and_reach(self: IncomingMessage, multiple: bool = False) -> None:
        await ack(self, multiple)
        reached("acked")

    Consumer._attempt = attempt_and_reach  # type: ignore[method-assign]
    IncomingMessage.ack = ack_and_reach  # type: ignore[method-assign]


def patch_gateway() -> None:
    """The gateway also keeps an account of its own, as a real one does: a line for each time it moves money, and for
    each time it repeats that it has."""
    gateway = import_module("infrastructure.simulated_gateway").SimulatedGateway
    ask = gateway.ask

    async def ask_and_reach(self: Any, attempt: Any) -> Any:
        reached("lease-before-gateway", attempt.kind)
        answer = await ask(self, attempt)
        if self._outcome(attempt) == "done":
            say("gateway", kind=attempt.kind, key=attempt.idempotency_key, order=str(attempt.order_id))
        reached("answer-before-commit", attempt.kind)
        return answer

    gateway.ask = ask_and_reach
    hasten("domain.payment", LEASE=timedelta(seconds=2))


def patch_channel() -> None:
    """Notes what customers were told, which the service's own log keeps to itself."""
    channel = import_module("infrastructure.log_channel").LogChannel
    send = channel.send

    async def send_and_say(self: Any, customer_id: Any, subject: str, message: str, traceparent: str) -> None:
        await send(self, customer_id, subject, message, traceparent)
        say("told", subject=subject, message=message)

    channel.send = send_and_say


hasten("chassis.postgres.outbox", LEFT_BEHIND_AFTER_SECONDS=1)
hasten("chassis.runtime.service", SWEEP_EVERY_SECONDS=0.5)
patch_database()
patch_outbox()
patch_consumer()
if Path.cwd().name == "payment-service":
    patch_gateway()
if Path.cwd().name == "notification-service":
    patch_channel()

app = import_module("main").app
