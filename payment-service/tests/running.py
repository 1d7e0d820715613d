"""The service in the test's own process: on real servers, or on PostgreSQL in memory."""

from collections.abc import Sequence
from types import ModuleType

from chassis.messaging.broker import Broker
from chassis.messaging.topology import Queue
from chassis.postgres.database import Database
from chassis.runtime.service import Service
from chassis.testing import running
from chassis.testing.access import OPEN
from chassis.testing.running import NOWHERE

from application.messages import CONSUMED
from application.ports import PaymentGateway
from infrastructure.unit_of_work import PaymentUnitOfWork
from settings import Settings
from tests.contracts import ROOT


def load_main(**environment: str) -> ModuleType:
    """main.py, run anew: twice the same is two replicas."""
    return running.load_main(ROOT / "payment-service", **environment)


def load_main_without_servers() -> ModuleType:
    return load_main(DATABASE_URL=f"postgresql://{NOWHERE}/none", RABBITMQ_URL=f"amqp://{NOWHERE}/")


_compose = load_main_without_servers().compose


def composed(
    database: Database, gateway: PaymentGateway, retry_delays: Sequence[float] = (1, 2, 4)
) -> Service[PaymentUnitOfWork]:
    """The service as main.py composes it, not started, with no broker: what it commits stays in the outbox."""
    service = Service(
        "payment-service",
        unit_of_work=PaymentUnitOfWork,
        consumed=CONSUMED,
        database=database,
        broker=Broker(lambda: f"amqp://{NOWHERE}/", Queue("payment-service", list(CONSUMED))),
        guard=OPEN,
    )
    _compose(service, Settings(payment_retry_delays_seconds=tuple(retry_delays)), gateway)
    return service
