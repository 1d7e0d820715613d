"""The notification service: `uvicorn main:app --port 8004`. The composition root: adapters are built only here."""

from collections.abc import Awaitable, Callable

from chassis.http import development
from chassis.http.app import create_app
from chassis.messaging.broker import Broker
from chassis.messaging.consumer import Consumer
from chassis.messaging.envelope import Decoder
from chassis.messaging.topology import Queue
from chassis.ports.ids import RecentIds
from chassis.runtime import logs, tracing
from chassis.runtime.guard import guard_of
from chassis.runtime.settings import load

from api import notifications as notifications_api
from application.handle_events import HandleEvents
from application.messages import CONSUMED
from application.ports import NotificationChannel, NotificationLog
from application.send_notifications import SendNotification, SendNotifications
from domain.notification import Notification
from infrastructure.log_channel import LogChannel
from infrastructure.recent_notifications import RecentNotifications
from infrastructure.unit_of_work import MemoryUnitOfWork
from settings import Settings

SERVICE = "notification-service"


def compose(
    broker: Broker, channel: NotificationChannel, sent: NotificationLog
) -> tuple[Callable[[SendNotification], Awaitable[Notification]], Consumer[MemoryUnitOfWork]]:
    """The use case that requests call, and the consumer of events."""
    send = SendNotifications(channel, sent)
    told = RecentIds()
    consumer = Consumer(
        broker,
        service=SERVICE,
        decoder=Decoder(CONSUMED),
        units=lambda: MemoryUnitOfWork(told),
        use_case=HandleEvents(send),
    )
    return send, consumer


settings = load(Settings)
logs.configure(SERVICE, settings)
tracing.configure(SERVICE, settings)
broker = Broker(settings.reader("rabbitmq_url"), Queue(SERVICE, list(CONSUMED)), verified=settings.in_production)
recent = RecentNotifications()
send, consumer = compose(broker, LogChannel(), recent)
app = create_app(
    service=SERVICE,
    version="1.0.0",
    summary="Tells customers what became of their orders.",
    routers=[notifications_api.router(send, recent)],
    parts=[broker, consumer],
    checks={"broker": broker.problem, "consumer": consumer.problem},
    ready=(),
    guard=guard_of(settings),
    development=[development.router(broker.disconnect)],
)
