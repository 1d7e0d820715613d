"""The notification service of the baseline: keeps what it would send, in memory."""

from collections import deque
from uuid import UUID

from common import Event, Handler, lifespan
from fastapi import FastAPI

recent: deque[dict[str, str]] = deque(maxlen=1000)


def notify(subject: str) -> Handler:
    async def handle(event: Event) -> None:
        message = f"Order {event['order_id']}"
        recent.append({"customer_id": event["customer_id"], "subject": subject, "message": message})

    return handle


SUBJECTS = {
    "inventory.unavailable": "Out of stock",
    "order.confirmed": "Order confirmed",
    "payment.processed": "Payment received",
    "payment.failed": "Payment failed",
    "order.completed": "Order completed",
    "order.failed": "Order failed",
    "order.cancelled": "Order cancelled",
    "payment.refunded": "Payment refunded",
}
handlers = {key: notify(subject) for key, subject in SUBJECTS.items()}
app = FastAPI(lifespan=lifespan("notification-service", handlers))


@app.get("/notifications")
async def get_notifications(customer_id: UUID | None = None) -> list[dict[str, str]]:
    return [note for note in recent if customer_id is None or note["customer_id"] == str(customer_id)]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok", "service": "notifications"}
