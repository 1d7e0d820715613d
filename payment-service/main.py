"""The payment service: `uvicorn main:app --port 8003`. The composition root: adapters are built only here."""

from datetime import timedelta

from chassis.runtime.service import Service
from chassis.runtime.settings import load

from api import gateway as gateway_api
from api import payments as payments_api
from api.errors import STATUSES
from application.charge_payments import ApplyAnswers, ChargePayments
from application.handle_events import HandleEvents
from application.messages import CONSUMED
from application.ports import PaymentGateway
from infrastructure.gateway_calls import BackgroundCalls
from infrastructure.simulated_gateway import SimulatedGateway
from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import OLD_TOMBSTONES, PaymentUnitOfWork, PostgresPayments
from settings import Settings

DUE_EVERY_SECONDS = 0.5


def compose(service: Service[PaymentUnitOfWork], settings: Settings, gateway: PaymentGateway) -> None:
    """Gives the service its use cases and the gateway."""
    retry_delays = [timedelta(seconds=delay) for delay in settings.payment_retry_delays_seconds]
    calls = BackgroundCalls(gateway, service.command("apply_answers", ApplyAnswers(retry_delays)))
    charge_payments = ChargePayments(calls)
    service.workers.append(calls)
    service.consumes(HandleEvents(charge_payments))
    service.every(DUE_EVERY_SECONDS, "due payments", charge_payments.begin_due, after=calls.have_room)
    service.prunes("tombstones", OLD_TOMBSTONES)


settings = load(Settings)
service = Service.connected(
    "payment-service", settings, schema=SCHEMA, unit_of_work=PaymentUnitOfWork, consumed=CONSUMED
)
gateway = SimulatedGateway(
    success_rate=settings.payment_success_rate,
    decline_rate=settings.payment_decline_rate,
    timeout_rate=settings.payment_timeout_rate,
)
compose(service, settings, gateway)
app = service.app(
    "Charges for orders whose stock is held, and gives back what was charged for orders that are undone.",
    version="1.0.0",
    routers=[payments_api.router(service.reading(PostgresPayments))],
    errors=STATUSES,
    development=[gateway_api.router(gateway)],
)
