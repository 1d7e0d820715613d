"""What a service runs by itself, and in which transactions."""

from chassis.messaging.broker import Broker
from chassis.messaging.topology import Queue
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.runtime.service import Service
from chassis.testing.access import OPEN
from chassis.testing.units import Units


class Unit(UnitOfWork):
    def open_repositories(self) -> None:
        pass


def a_service() -> Service[Unit]:
    database = Units(Unit).database
    broker = Broker(lambda: "amqp://localhost:1/", Queue("service", []))
    return Service("service", unit_of_work=Unit, consumed={}, database=database, broker=broker, guard=OPEN)


async def test_what_is_due_is_done_batch_by_batch_each_in_a_transaction_until_nothing_is_left() -> None:
    service, left = a_service(), [True, True, False]
    units: list[Unit] = []
    committed: list[Unit] = []

    async def work(unit: Unit) -> bool:
        assert unit.now, "the unit has begun"
        assert committed == units, "the batch before is committed"
        units.append(unit)
        unit.after_commit(lambda: committed.append(unit))
        return left.pop(0)

    service.every(7, "job", work)
    job = service.jobs[-1]
    assert (job.name, job.every_seconds) == ("job", 7)
    while await job.act():
        pass
    assert len(set(units)) == 3
    assert committed == units
