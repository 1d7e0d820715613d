"""The shop that is recorded, and what a scene does to it: orders with names, services that stop, messages put aside."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGKILL
from typing import NamedTuple
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
from chassis.testing import eventually

from bus import Bus, Management, events_in
from operations.addresses import SERVICES
from operations.books import reading
from operations.books.rows import Row
from operations.shop import Line
from shop import Shop
from system import System
from upgrade.recording import Document, Waiting
from upgrade.replay import publish

_TAP = "order_events.tap"
# Whoever waits for an answer asks again after half a minute or one. Recording takes longer, and nobody is to answer.
_REMIND = """
    UPDATE orders.orders SET remind_at = now() + interval '{0}' WHERE remind_at IS NOT NULL;
    UPDATE inventory.reservations SET remind_at = now() + interval '{0}' WHERE remind_at IS NOT NULL;
"""


class End(NamedTuple):
    """What the order and its payment must come to; a payment that is None has no determined end."""

    status: str
    reason: str | None
    payment: str | None


class Recorder:
    def __init__(
        self,
        system: System,
        shop: Shop,
        client: httpx.AsyncClient,
        channel: Bus,
        management: Management,
        database: asyncpg.Connection,
    ) -> None:
        self.system = system
        self.shop = shop
        self.channel = channel
        self.database = database
        self.orders: dict[str, Document] = {}
        self.answers: list[Document] = []
        self.keys: list[Document] = []
        self.messages: list[Waiting] = []
        self.stock: dict[str, int] = {}
        self._client = client
        self._management = management

    def id_of(self, name: str) -> str:
        order_id: str = self.orders[name]["id"]
        return order_id

    async def product(self, quantity: int = 1000) -> UUID:
        product = await self.shop.stock(quantity)
        self.stock[str(product)] = quantity
        return product

    async def place(
        self, name: str, end: End, line: Line, *, customer: UUID | None = None, keyed: bool = False
    ) -> None:
        """With `keyed` under an idempotency key, which is recorded."""
        headers = {"Idempotency-Key": _key(name)} if keyed else {}
        answer = await self.shop.ask(line, customer=customer, headers=headers)
        answer.raise_for_status()
        self._remember(name, end, answer.json()["id"])
        if keyed:
            self._remember_key(answer.request, headers, answer.json())
        await self.remind_after("1 hour")

    async def place_at_once(self, number: int, name: str, end: End, line: Line) -> None:
        """So many orders at the same moment, so that their events share messages."""
        placed = await asyncio.gather(*(self.shop.place(line) for _ in range(number)))
        for n, order in enumerate(placed, 1):
            self._remember(f"{name} {n}", end, order["id"])
        await self.remind_after("1 hour")

    async def place_unanswered(self, name: str, end: End, line: Line, customer: UUID) -> None:
        """Under an idempotency key, while the order service is armed to die of it."""
        headers = {"Idempotency-Key": _key(name)}
        try:
            await self.shop.ask(line, customer=customer, headers=headers)
        except httpx.TransportError as error:
            orders = (await self.read()).orders.values()
            self._remember(name, end, str(next(order["id"] for order in orders if order["customer_id"] == customer)))
            self._remember_key(error.request, headers, None)
        else:
            raise AssertionError("the order service has answered")

    def _remember(self, name: str, end: End, order_id: str) -> None:
        assert name not in self.orders
        self.orders[name] = {"id": order_id, **end._asdict()}

    def _remember_key(self, request: httpx.Request, headers: Document, answer: Document | None) -> None:
        self.keys.append({"headers": headers, "body": json.loads(request.content), "answer": answer})

    async def remind_after(self, interval: str) -> None:
        await self.database.execute(_REMIND.format(interval))

    async def cancel(self, name: str) -> None:
        (await self.shop.cancel(self.id_of(name))).raise_for_status()

    async def read(self) -> reading.Books:
        return await reading.read(self.system.database_url)

    async def becomes(self, status: str, *names: str) -> None:
        """Returns once the orders whose names begin like these have the status."""
        wanted = {UUID(order["id"]) for name, order in self.orders.items() if name.startswith(names)}
        await self.see(lambda found: all(found.orders[order_id]["status"] == status for order_id in wanted))

    async def notes(self, event: str, name: str) -> None:
        """Returns once the order's timeline has a line for the event."""
        order_id = UUID(self.id_of(name))
        await self.see(lambda found: event in [line["event"] for line in found.orders[order_id]["timeline"]])

    async def payment_becomes(self, status: str, name: str, **columns: object) -> None:
        order_id = UUID(self.id_of(name))
        wanted: Row = {"status": status, **columns}

        def stands(found: reading.Books) -> bool:
            payment = found.payments.get(order_id)
            return payment is not None and all(payment[column] == value for column, value in wanted.items())

        await self.see(stands)

    async def see(self, what: Callable[[reading.Books], bool]) -> None:
        """Returns once the books look like this."""

        async def seen() -> bool:
            return what(await self.read())

        await eventually(seen, seconds=30)

    async def start(self, *names: str, **settings: str) -> None:
        self.system.start(*names, **settings)
        await self.system.healthy(*names)

    async def stop(self, *names: str) -> None:
        await self.system.stop(*names)

    def arm(self, service: str, point: str) -> None:
        Path(self.system.services[service].environment["FAILPOINT_FILE"]).write_text(point)

    async def dies(self, service: str) -> None:
        """Returns once the service has died of what it was armed with."""
        victim = self.system.services[service]
        await eventually(lambda: not victim.running, seconds=20)
        assert await victim.end(SIGKILL) == -SIGKILL, victim.tail()

    async def isolate(self) -> None:
        """From now on no queue takes an event, so the next service to run keeps in its outbox what it has to say. When
        it starts it binds its own queue, which takes nothing of its own events."""
        await self.channel.channel.queue_delete(_TAP)
        for service in SERVICES:
            await self._management.unbind(service)

    async def take(self, queue: str, *, events: int) -> list[Waiting]:
        """Takes the messages of so many events out of the queue, once they are there."""
        taken: list[Waiting] = []

        async def all_taken() -> bool:
            taken.extend([Waiting.of(queue, message) for message in await self.channel.take(queue)])
            return sum(waiting.number_of_events for waiting in taken) >= events

        await eventually(all_taken, seconds=60)
        return taken

    async def put_aside(self, queue: str, *, events: int) -> None:
        """They wait in the queue until the recording is loaded."""
        self.messages += await self.take(queue, events=events)

    async def give(self, messages: Sequence[Waiting]) -> None:
        """Back to the queues that they were taken from."""
        for waiting in messages:
            await publish(self.channel.channel, waiting)

    async def refuse(self, queue: str, *, events: int) -> None:
        """The broker moves the messages of so many events to the dead letters, as if the service had never answered."""
        source = await self.channel.channel.get_queue(queue, ensure=False)
        refused = 0
        while refused < events:
            if (message := await source.get(fail=False)) is not None:
                await message.reject(requeue=False)
                refused += len(events_in(message))
            await asyncio.sleep(0.02)

    async def record_answers(self) -> None:
        """Of GET, about all orders so far."""
        for name in self.orders:
            order_id = self.id_of(name)
            for service, path in (
                ("order-service", f"/orders/{order_id}"),
                ("order-service", f"/orders/{order_id}/timeline"),
                ("payment-service", f"/payments/order/{order_id}"),
            ):
                answer = await self._client.get(f"{self.system.urls[service]}{path}")
                if answer.status_code == 200:
                    self.answers.append({"service": service, "path": path, "answer": answer.json()})

    def charges(self) -> list[Document]:
        lines = self.system.services["payment-service"].lines()
        return [
            {name: line[name] for name in ("key", "kind", "order")} for line in lines if line.get("event") == "gateway"
        ]


def _key(name: str) -> str:
    """An idempotency key, in which spaces are not allowed."""
    return f"cart:{re.sub('[^a-z]+', '-', name)}"
