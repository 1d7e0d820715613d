"""What the four baseline services share, as the documentation of SQLAlchemy, FastAPI and aio-pika shows it."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import aio_pika
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

# On two cores a prefetch of 3 to 10 and a pool of 5 to 10 came out alike; more of either cost a twentieth.
PREFETCH = 10
engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=10, max_overflow=0)
Session = async_sessionmaker(engine, expire_on_commit=False)

Event = dict[str, Any]
Handler = Callable[[Event], Awaitable[None]]


class Base(DeclarativeBase):
    pass


class Item(BaseModel):
    product_id: UUID
    quantity: Annotated[int, Field(ge=1, le=10_000)]
    price: Annotated[float, Field(gt=0)]


class FromRow(BaseModel):
    model_config = ConfigDict(from_attributes=True)


def now() -> datetime:
    return datetime.now(UTC)


async def _session() -> AsyncIterator[AsyncSession]:
    async with Session() as session:
        yield session


SessionOfRequest = Annotated[AsyncSession, Depends(_session)]


class Bus:
    exchange: AbstractExchange

    async def publish(self, routing_key: str, event: Event) -> None:
        body = json.dumps(event).encode()
        message = Message(body, content_type="application/json", delivery_mode=DeliveryMode.PERSISTENT)
        await self.exchange.publish(message, routing_key)


bus = Bus()


def lifespan(service: str, handlers: Mapping[str, Handler]) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Makes the tables, and consumes for as long as the application lives."""

    async def handle(message: AbstractIncomingMessage) -> None:
        async with message.process(requeue=True):
            await handlers[message.routing_key or ""](json.loads(message.body))

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with await aio_pika.connect_robust(os.environ["RABBITMQ_URL"]) as broker:
            publishing, consuming = await broker.channel(), await broker.channel()
            bus.exchange = await publishing.declare_exchange("order_events", ExchangeType.TOPIC, durable=True)
            await consuming.set_qos(prefetch_count=PREFETCH)
            queue = await consuming.declare_queue(service, durable=True, arguments={"x-queue-type": "quorum"})
            for routing_key in handlers:
                await queue.bind("order_events", routing_key)
            await queue.consume(handle)
            yield
        await engine.dispose()

    return run
