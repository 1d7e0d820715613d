"""A process's connections to RabbitMQ and to the payment gateway: what they say becomes an effect, what they hear comes
from the driver."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from chassis.messaging.broker import ANSWER_TIMEOUT_SECONDS, Unroutable
from chassis.messaging.topology import EXCHANGE
from chassis.ports.errors import Unavailable, reason_of

from simulation.clock import Mortal, VirtualLoop
from simulation.wire import Ack, Ask, Effect, Message, Publish


class Consuming(Protocol):
    """The chassis's consumer, as a connection sees it."""

    async def attach(self, channel: Any, queue: Any) -> None: ...


class Calls:
    """What a worker's processes wait for from outside, by number."""

    def __init__(self, loop: VirtualLoop, effects: list[Effect]) -> None:
        self.loop = loop
        self.effects = effects
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._made = 0

    def make(self) -> tuple[int, asyncio.Future[Any]]:
        self._made += 1
        future: asyncio.Future[Any] = self.loop.create_future()
        self._waiting[self._made] = future
        return self._made, future

    def answer(self, call: int, answer: str) -> None:
        future = self._waiting.pop(call, None)
        if future is not None and not future.done():
            future.set_result(answer)


class Channel:
    """A channel to consume on; once its connection is gone, its tags are dead."""

    def __init__(self) -> None:
        self.is_closed = False
        self.deliver: Callable[[Any], Awaitable[None]] | None = None

    async def set_qos(self, *, prefetch_count: int) -> None:
        """Ignored: whatever is ready is delivered, as after a connection's first, careful messages."""

    async def consume(self, callback: Callable[[Any], Awaitable[None]]) -> str:
        self.deliver = callback
        return "consumer"

    async def cancel(self, consumer_tag: str) -> None:
        """Of a consumer that another has replaced."""


class Incoming:
    """A delivered message, with as much of aio-pika's interface as the consumer uses."""

    def __init__(self, message: Message, channel: Channel, replica: int, effects: list[Effect]) -> None:
        self.body = message.body
        self.content_type = message.content_type
        self.routing_key = message.routing_key
        self.headers = message.headers
        self.redelivered = False  # how much is delivered at a time is the run's dice to say
        self._tag = message.tag
        self._channel = channel
        self._replica = replica
        self._effects = effects

    async def ack(self, multiple: bool = False) -> None:
        if self._channel.is_closed:
            raise ConnectionResetError("the channel is closed")
        assert multiple, "the consumer owns its tags, and acknowledges all up to one"
        self._effects.append(Ack(self._replica, self._tag))


class Link:
    """Stands in for chassis.messaging.broker.Broker."""

    verified = False

    def __init__(self, calls: Calls, owner: Mortal, replica: int) -> None:
        self.connected = False
        self.on_connected: Callable[[], None] = lambda: None  # the process sweeps its outbox itself
        self.consumer: Consuming | None = None
        self._calls = calls
        self._owner = owner
        self._replica = replica
        self._channel = Channel()
        self._unconfirmed: set[int] = set()

    def serve(self, consumer: Consuming) -> None:
        self.consumer = consumer

    async def connect(self) -> None:
        assert self.consumer is not None
        self._channel = Channel()
        await self.consumer.attach(self._channel, self._channel)
        self.connected = True

    def break_off(self) -> None:
        """The connection is gone, whether or not the process has noticed."""
        self.connected = False
        self._channel.is_closed = True
        for call in sorted(self._unconfirmed):
            self._calls.answer(call, "lost")

    def deliver(self, messages: list[Message]) -> None:
        for message in messages:
            if self._channel.deliver is not None:
                incoming = Incoming(message, self._channel, self._replica, self._calls.effects)
                self._calls.loop.start(self._owner, self._channel.deliver(incoming))  # type: ignore[arg-type]

    async def publish(
        self,
        routing_key: str,
        body: bytes,
        content_type: str | None,
        *,
        exchange: str = EXCHANGE,
        headers: Mapping[str, str | int] | None = None,
    ) -> None:
        if not self.connected:
            raise Unavailable("the broker is away")
        call, answer = self._calls.make()
        self._unconfirmed.add(call)
        self._calls.effects.append(
            Publish(self._replica, call, exchange, routing_key, body, content_type, dict(headers or {}))
        )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                outcome = await answer
        except TimeoutError as error:
            raise Unavailable(f"the broker did not confirm: {reason_of(error)}") from error
        finally:
            self._unconfirmed.discard(call)
        if outcome == "unroutable":
            raise Unroutable(f"no queue takes {routing_key}")
        if outcome != "confirmed":
            raise Unavailable(f"the broker did not confirm: {outcome}")


class Till:
    """The way to the payment gateway. `read` makes the service's own Reply of the answer, and of the seconds for which
    the gateway asks to be left alone."""

    def __init__(self, calls: Calls, replica: int) -> None:
        self.read: Callable[[str, float], Any] = lambda answer, seconds: answer
        self._calls = calls
        self._replica = replica

    async def ask(self, attempt: Any) -> Any:
        call, answer = self._calls.make()
        self._calls.effects.append(
            Ask(
                self._replica,
                call,
                str(attempt.kind.value),
                attempt.idempotency_key,
                str(attempt.order_id),
                f"{attempt.amount} {attempt.currency}",
            )
        )
        said, _, seconds = (await answer).partition(" ")
        return self.read(said, float(seconds or 0))
