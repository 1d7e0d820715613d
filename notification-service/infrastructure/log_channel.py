"""Notifications as lines in the log."""

from uuid import UUID

import structlog

log = structlog.get_logger()


class LogChannel:
    name = "log"

    async def send(self, customer_id: UUID, subject: str, message: str) -> None:
        log.info("notification", customer=str(customer_id), subject=subject, message=message)
