"""The ports of the use cases. The adapters are in infrastructure/."""

from typing import Protocol
from uuid import UUID

from chassis.ports.events import Received

from domain.notification import Notification


class NotificationChannel(Protocol):
    """A way to reach a customer: the log for now, e-mail later."""

    @property
    def name(self) -> str: ...

    async def send(self, customer_id: UUID, subject: str, message: str) -> None:
        """Returns once the message is on its way, else raises."""


class NotificationLog(Protocol):
    """The notifications that were sent."""

    def add(self, notification: Notification) -> None: ...


class NotificationUnit(Protocol):
    def told(self, event: Received) -> None:
        """Notes at once that the customer was told, because a message can't be taken back."""
