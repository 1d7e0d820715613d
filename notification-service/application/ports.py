"""The ports of the use cases. The adapters are in infrastructure/."""

from typing import Protocol
from uuid import UUID

from chassis.ports.events import Received

from domain.notification import Notification


class NotificationChannel(Protocol):
    """A way to reach a customer: the log for now, e-mail later."""

    @property
    def name(self) -> str: ...

    async def send(self, customer_id: UUID, subject: str, message: str, traceparent: str) -> None:
        """Returns once the message is on its way, else raises. `traceparent`: of the order or request behind it."""


class NotificationLog(Protocol):
    """The notifications that were sent."""

    def add(self, notification: Notification) -> None: ...

    def listed(self, *, customer_id: UUID | None, before: UUID | None, limit: int) -> list[Notification]:
        """The last notifications of one customer or of all, with ids below `before`, the newest first."""


class NotificationUnit(Protocol):
    def told(self, event: Received) -> None:
        """Notes at once that the customer was told, because a message can't be taken back."""
