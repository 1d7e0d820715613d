"""The contracts of the events that this service reads."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from chassis.ports.events import routing_key
from chassis.ports.ids import uuid7
from chassis.testing.contracts import Contracts

ROOT = Path(__file__).parents[2]


def contracts_of(event: str) -> Contracts:
    """Those of the service that publishes the event, whose name its routing key begins with."""
    return Contracts(ROOT / f"{routing_key(event).partition('.')[0]}-service" / "contracts")


def fact(name: str, customer: str | None = None) -> dict[str, Any]:
    """An event of another service: the example of its contract, about an order of its own."""
    event, order_id = contracts_of(name).example(name), str(uuid7())
    about = {"order_id": order_id, "customer_id": customer or str(uuid4())}
    return event | {"id": str(uuid7()), "subject": order_id, "data": event["data"] | about}
