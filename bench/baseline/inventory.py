"""The inventory service of the baseline."""

from typing import Any
from uuid import UUID

from common import Base, Event, FromRow, Session, SessionOfRequest, bus, lifespan
from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column


class Stock(Base):
    __tablename__ = "inventory_items"

    product_id: Mapped[UUID] = mapped_column(primary_key=True)
    quantity_available: Mapped[int]
    reserved_quantity: Mapped[int] = mapped_column(default=0)


class Reservation(Base):
    __tablename__ = "reservations"

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[str]
    items: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)


class SetStock(BaseModel):
    quantity_available: int


class StockOut(FromRow):
    product_id: UUID
    quantity_available: int
    reserved_quantity: int


async def locked(session: AsyncSession, lines: list[dict[str, Any]]) -> dict[str, Stock]:
    wanted = select(Stock).where(Stock.product_id.in_([UUID(line["product_id"]) for line in lines]))
    rows = await session.scalars(wanted.order_by(Stock.product_id).with_for_update())
    return {str(row.product_id): row for row in rows}


async def on_created(event: Event) -> None:
    async with Session() as session:
        items = await locked(session, event["items"])
        enough = all(
            line["product_id"] in items and items[line["product_id"]].quantity_available >= line["quantity"]
            for line in event["items"]
        )
        for line in event["items"] if enough else ():
            items[line["product_id"]].quantity_available -= line["quantity"]
            items[line["product_id"]].reserved_quantity += line["quantity"]
        status = "held" if enough else "refused"
        session.add(Reservation(order_id=UUID(event["order_id"]), status=status, items=event["items"]))
        await session.commit()
    if enough:
        await bus.publish("inventory.reserved", event)
    else:
        await bus.publish("inventory.unavailable", event | {"reason": "out-of-stock"})


async def end(event: Event, status: str) -> bool:
    async with Session() as session:
        reservation = await session.get(Reservation, UUID(event["order_id"]), with_for_update=True)
        if reservation is None or reservation.status != "held":
            return False
        reservation.status = status
        items = await locked(session, reservation.items)
        for line in reservation.items:
            items[line["product_id"]].reserved_quantity -= line["quantity"]
            if status == "released":
                items[line["product_id"]].quantity_available += line["quantity"]
        await session.commit()
    return True


async def on_completed(event: Event) -> None:
    await end(event, "sold")


async def on_undone(event: Event) -> None:
    if await end(event, "released"):
        await bus.publish("inventory.released", event)


app = FastAPI(
    lifespan=lifespan(
        "inventory-service",
        {
            "order.created": on_created,
            "order.completed": on_completed,
            "order.failed": on_undone,
            "order.cancelled": on_undone,
        },
    )
)


@app.put("/inventory/{product_id}")
async def put_item(product_id: UUID, body: SetStock, response: Response, session: SessionOfRequest) -> StockOut:
    item = await session.get(Stock, product_id, with_for_update=True)
    if item is None:
        item = Stock(product_id=product_id, reserved_quantity=0)
        session.add(item)
        response.status_code = 201
    item.quantity_available = body.quantity_available
    await session.commit()
    return StockOut.model_validate(item)


@app.get("/inventory/{product_id}")
async def get_item(product_id: UUID, session: SessionOfRequest) -> StockOut:
    if item := await session.get(Stock, product_id):
        return StockOut.model_validate(item)
    raise HTTPException(404)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok", "service": "inventory"}
