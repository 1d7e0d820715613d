"""Notifications as lines in the log: who was told, and not what, because logs are no place for customers' data."""

from uuid import UUID

import structlog
from chassis.ports.tracing import trace_id

log = structlog.get_logger()


class LogChannel:
    name = "log"

    async def send(self, customer_id: UUID, subject: str, message: str, traceparent: str) -> None:
        log.info("notification", customer=str(customer_id), trace_id=trace_id(traceparent))
