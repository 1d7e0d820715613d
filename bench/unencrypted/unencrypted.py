"""A service as it is in production, but for this: it takes servers without TLS. Run it with uvicorn, in the service's
folder: `unencrypted:app`."""

from importlib import import_module

from chassis.runtime import settings

settings._ENCRYPTED = {"database_url": "postgresql+asyncpg://", "rabbitmq_url": "amqp://"}

app = import_module("main").app
