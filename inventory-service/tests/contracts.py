"""The contracts that this service gives to others, and those that others give."""

from pathlib import Path

from chassis.ports.events import routing_key
from chassis.testing.contracts import Contracts

ROOT = Path(__file__).parents[2]
OURS = Contracts(ROOT / "inventory-service" / "contracts")


def contracts_of(event: str) -> Contracts:
    """Those of the service that publishes the event, whose name its routing key begins with."""
    return Contracts(ROOT / f"{routing_key(event).partition('.')[0]}-service" / "contracts")
