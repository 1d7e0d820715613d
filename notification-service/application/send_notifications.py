"""Sends a notification and keeps it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from chassis.ports.ids import uuid7

from application.ports import NotificationChannel, NotificationLog
from domain.notification import Notification


@dataclass(frozen=True, slots=True)
class SendNotification:
    customer_id: UUID
    subject: str
    message: str
    traceparent: str


class SendNotifications:
    def __init__(self, channel: NotificationChannel, log: NotificationLog) -> None:
        self._channel = channel
        self._log = log

    async def __call__(self, command: SendNotification) -> Notification:
        """Raises what the channel raises; the log then lacks the notification."""
        what = (command.customer_id, command.subject, command.message)
        await self._channel.send(*what, command.traceparent)
        notification = Notification(uuid7(), *what, self._channel.name, "sent", datetime.now(UTC))
        self._log.add(notification)
        return notification
