"""The contracts that this service gives to others, and those that others give."""

from pathlib import Path

from chassis.testing.contracts import Contracts

ROOT = Path(__file__).parents[2]
OURS = Contracts(ROOT / "inventory-service" / "contracts")
