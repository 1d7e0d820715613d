"""The service in the test's own process: on real servers, or on PostgreSQL in memory."""

from types import ModuleType

from chassis.runtime.reminders import remind
from chassis.testing import running

from infrastructure.unit_of_work import InventoryUnitOfWork
from tests.contracts import ROOT


def load_main(**environment: str) -> ModuleType:
    """main.py, run anew: twice the same is two replicas."""
    return running.load_main(ROOT / "inventory-service", **environment)


async def ask_again(unit: InventoryUnitOfWork) -> None:
    await remind(unit.reservations, unit)
