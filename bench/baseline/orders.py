"""The order service of the baseline."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID, uuid4

from common import Base, Event, FromRow, Item, Session, SessionOfRequest, bus, lifespan, now
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import DateTime, Numeric
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

OPEN = ("pending", "confirmed")


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    customer_id: Mapped[UUID] = mapped_column(index=True)
    items: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    total_amount: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    currency: Mapped[str] = mapped_column(default="USD")
    status: Mapped[str] = mapped_column(default="pending")
    reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now, onupdate=now)


class PlaceOrder(BaseModel):
    customer_id: UUID
    items: Annotated[list[Item], Field(min_length=1, max_length=100)]


class OrderOut(FromRow):
    id: UUID
    customer_id: UUID
    items: list[Item]
    total_amount: float
    currency: str
    status: str
    reason: str | None
    created_at: datetime
    updated_at: datetime


def told(order: Order) -> Event:
    return {
        "order_id": str(order.id),
        "customer_id": str(order.customer_id),
        "items": order.items,
        "total_amount": str(order.total_amount),
        "currency": order.currency,
        "reason": order.reason,
    }


async def decide(event: Event, status: str, *, only_from: tuple[str, ...] = OPEN, reason: str | None = None) -> None:
    async with Session() as session:
        order = await session.get_one(Order, UUID(event["order_id"]), with_for_update=True)
        if order.status not in only_from:
            return
        order.status, order.reason = status, reason
        await session.commit()
    await bus.publish(f"order.{status}", told(order))


async def on_reserved(event: Event) -> None:
    await decide(event, "confirmed", only_from=("pending",))


async def on_paid(event: Event) -> None:
    await decide(event, "completed")


async def on_failure(event: Event) -> None:
    await decide(event, "failed", reason=event["reason"])


app = FastAPI(
    lifespan=lifespan(
        "order-service",
        {
            "inventory.reserved": on_reserved,
            "inventory.unavailable": on_failure,
            "payment.processed": on_paid,
            "payment.failed": on_failure,
        },
    )
)


@app.post("/orders", status_code=201)
async def place_order(body: PlaceOrder, session: SessionOfRequest) -> OrderOut:
    total = sum(Decimal(str(item.price)) * item.quantity for item in body.items)
    items = [item.model_dump(mode="json") for item in body.items]
    order = Order(customer_id=body.customer_id, items=items, total_amount=total)
    session.add(order)
    await session.commit()
    await bus.publish("order.created", told(order))
    return OrderOut.model_validate(order)


@app.get("/orders/{order_id}")
async def get_order(order_id: UUID, session: SessionOfRequest) -> OrderOut:
    if order := await session.get(Order, order_id):
        return OrderOut.model_validate(order)
    raise HTTPException(404)


@app.delete("/orders/{order_id}")
async def cancel_order(order_id: UUID, session: SessionOfRequest) -> OrderOut:
    order = await session.get(Order, order_id, with_for_update=True)
    if order is None or order.status not in OPEN:
        raise HTTPException(409 if order else 404)
    order.status = "cancelled"
    await session.commit()
    await bus.publish("order.cancelled", told(order))
    return OrderOut.model_validate(order)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok", "service": "orders"}
