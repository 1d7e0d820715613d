"""The notification service: `uvicorn main:app --port 8004`. The composition root: adapters are built only here."""

from chassis.runtime import logs
from chassis.http.app import create_app
from chassis.messaging.broker import Broker
from chassis.messaging.consumer import Consumer
from chassis.messaging.envelope import Decoder
from chassis.ports.ids import RecentIds
from chassis.runtime.settings import load
from chassis.messaging.topology import Queue

from api import notifications as notifications_api
from application.notify_customers import NotifyCustomers
from application.send_notifications import SendNotifications
from infrastructure.log_channel import LogChannel
from infrastructure.messages import CONSUMED
from infrastructure.recent_notifications import RecentNotifications
from infrastructure.unit_of_work import MemoryUnitOfWork
from settings import Settings

SERVICE = "notification-service"

settings = load(Settings)
logs.configure(SERVICE, settings)
broker = Broker(settings.rabbitmq_url, Queue(SERVICE, [wire.routing_key for wire in CONSUMED]))
told = RecentIds()
recent = RecentNotifications()
send = SendNotifications(LogChannel(), recent)
consumer = Consumer(
    broker,
    service=SERVICE,
    decoder=Decoder(CONSUMED),
    units=lambda: MemoryUnitOfWork(told),
    use_case=NotifyCustomers(send),
)

app = create_app(
    service=SERVICE,
    version="1.0.0",
    summary="Tells customers what became of their orders.",
    routers=[notifications_api.router(send, recent)],
    parts=[broker, consumer],
    checks={"broker": broker.problem, "consumer": consumer.problem},
    ready=(),
)
