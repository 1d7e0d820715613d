"""The service in the test's own process: on real servers, or on PostgreSQL in memory."""

from types import ModuleType

from chassis.runtime.reminders import remind
from chassis.testing import running
from chassis.testing.units import Units

from infrastructure.unit_of_work import OrderUnitOfWork
from tests.contracts import ROOT

OrderUnits = Units[OrderUnitOfWork]


def load_main(**environment: str) -> ModuleType:
    """main.py, run anew: twice the same is two replicas."""
    return running.load_main(ROOT / "order-service", **environment)


async def ask_again(unit: OrderUnitOfWork) -> None:
    await remind(unit.orders, unit)
