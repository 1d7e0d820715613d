"""The contracts that this service gives to others, and those that others give."""

from pathlib import Path
from typing import Any

from chassis.ports.events import routing_key
from chassis.ports.ids import uuid7
from chassis.testing.contracts import Contracts, published_events

from domain import events

ROOT = Path(__file__).parents[2]
OURS = Contracts(ROOT / "order-service" / "contracts")
PUBLISHED = published_events(events)


def contracts_of(event: str) -> Contracts:
    """Those of the service that publishes the event, whose name its routing key begins with."""
    return Contracts(ROOT / f"{routing_key(event).partition('.')[0]}-service" / "contracts")


def fact(name: str, order_id: str, **data: object) -> dict[str, Any]:
    """An event of another service about this order: the example of its contract, with an id of its own. A payment is
    of what an `order_body` costs."""
    event = contracts_of(name).example(name)
    cost = {"amount": 39.98} if name == "PaymentProcessed" else {}
    said = event["data"] | {"order_id": order_id, **cost, **data}
    return event | {"id": str(uuid7()), "subject": order_id, "data": said}
