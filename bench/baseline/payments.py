"""The payment service of the baseline. Its gateway answers at once, as the system's simulated one does."""

import os
import random
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from common import Base, Event, FromRow, Session, SessionOfRequest, bus, lifespan, now
from fastapi import FastAPI, HTTPException
from sqlalchemy import DateTime, Numeric, select
from sqlalchemy.orm import Mapped, mapped_column

SUCCESS_RATE = float(os.environ.get("PAYMENT_SUCCESS_RATE", "0.8"))
ATTEMPTS = 4


class Payment(Base):
    __tablename__ = "payments"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    order_id: Mapped[UUID] = mapped_column(unique=True)
    customer_id: Mapped[UUID]
    amount: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    currency: Mapped[str]
    status: Mapped[str]
    attempts: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now, onupdate=now)


class PaymentOut(FromRow):
    id: UUID
    order_id: UUID
    customer_id: UUID
    amount: float
    currency: str
    status: str
    attempts: int


async def on_reserved(event: Event) -> None:
    """Tries again at once: this baseline never sleeps, which is in its favour."""
    attempts = next((number for number in range(1, ATTEMPTS + 1) if random.random() < SUCCESS_RATE), 0)
    async with Session() as session:
        payment = Payment(
            order_id=UUID(event["order_id"]),
            customer_id=UUID(event["customer_id"]),
            amount=Decimal(event["total_amount"]),
            currency=event["currency"],
            status="completed" if attempts else "failed",
            attempts=attempts or ATTEMPTS,
        )
        session.add(payment)
        await session.commit()
    if attempts:
        await bus.publish("payment.processed", event)
    else:
        await bus.publish("payment.failed", event | {"reason": "payment-retries-exhausted"})


async def on_undone(event: Event) -> None:
    async with Session() as session:
        wanted = select(Payment).where(Payment.order_id == UUID(event["order_id"])).with_for_update()
        payment = await session.scalar(wanted)
        if payment is None or payment.status != "completed":
            return
        payment.status = "refunded"
        await session.commit()
    await bus.publish("payment.refunded", event)


app = FastAPI(
    lifespan=lifespan(
        "payment-service",
        {"inventory.reserved": on_reserved, "order.failed": on_undone, "order.cancelled": on_undone},
    )
)


@app.get("/payments/order/{order_id}")
async def get_payment(order_id: UUID, session: SessionOfRequest) -> PaymentOut:
    if payment := await session.scalar(select(Payment).where(Payment.order_id == order_id)):
        return PaymentOut.model_validate(payment)
    raise HTTPException(404)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok", "service": "payments"}
