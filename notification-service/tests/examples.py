"""The producers' own examples of the events that this service reads."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from chassis.messaging.envelope import Wire
from chassis.ports.ids import uuid7
from chassis.testing.contracts import Contracts
from infrastructure.messages import CONSUMED

ROOT = Path(__file__).parents[2]


def contracts_of(wire: Wire) -> Contracts:
    """Its producer's."""
    return Contracts(ROOT / f"{wire.routing_key.partition('.')[0]}-service" / "contracts")


def example_of(wire: Wire) -> dict[str, Any]:
    """What its producer says that such an event looks like."""
    return contracts_of(wire).example(wire.type)


def an_event(name: str, customer: str | None = None) -> tuple[str, dict[str, Any]]:
    """The routing key and a new event of that name: the example, about an order of its own."""
    wire = next(wire for wire in CONSUMED if wire.type == name)
    example, order_id = example_of(wire), str(uuid7())
    data = example["data"] | {"order_id": order_id, "customer_id": customer or str(uuid4())}
    return wire.routing_key, example | {"id": str(uuid7()), "subject": order_id, "data": data}
