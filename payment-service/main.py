"""The payment service: `uvicorn main:app --port 8003`. The composition root: adapters are built only here."""

from datetime import timedelta

from chassis.runtime.group_commit import Batcher
from chassis.runtime.jobs import in_batches
from chassis.runtime.jobs import Periodic
from chassis.runtime.service import Service
from chassis.runtime.settings import load

from api import payments as payments_api
from application.charge_due import ChargeDue
from application.enter_answers import EnterAnswers
from application.take_payments import TakePayments
from domain import errors
from infrastructure.messages import CONSUMED, PUBLISHED
from infrastructure.observed_gateway import ObservedGateway
from infrastructure.payments import PostgresPayments, prune_tombstones
from infrastructure.simulated_gateway import SimulatedGateway
from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import PaymentsUnitOfWork
from settings import Settings

DUE_EVERY_SECONDS = 0.5

settings = load(Settings)
service = Service("payment-service", settings, version="1.0.0", schema=SCHEMA, published=PUBLISHED, consumed=CONSUMED)
units = service.units(PaymentsUnitOfWork)
gateway = ObservedGateway(
    SimulatedGateway(
        success_rate=settings.payment_success_rate,
        decline_rate=settings.payment_decline_rate,
        timeout_rate=settings.payment_timeout_rate,
    )
)
enter_answers = EnterAnswers([timedelta(seconds=delay) for delay in settings.payment_retry_delays_seconds])
charge_due = ChargeDue(gateway, Batcher("enter_answers", units, enter_answers).submit)
due = Periodic("due payments", DUE_EVERY_SECONDS, in_batches(units, charge_due))
charge_due.on_room = due.wake

app = service.app(
    "Charges for orders whose stock is held, and gives back what was charged for orders that are undone.",
    units=units,
    consume=TakePayments(charge_due),
    routers=[payments_api.router(service.reading(PostgresPayments))],
    workers=[charge_due],
    jobs=[due],
    prune=[prune_tombstones],
    errors={errors.PaymentNotFound: 404},
)
