"""A channel that keeps what was sent. It passes the suite of every channel: unit/test_channels.py."""

from collections.abc import Callable
from uuid import UUID

Sent = tuple[UUID, str, str]


class FakeChannel:
    """Keeps what was sent; `trouble` says of each message what goes wrong with it, if anything does."""

    name = "fake"

    def __init__(self, trouble: Callable[[Sent], Exception | None] = lambda sent: None) -> None:
        self.sent: list[Sent] = []
        self.trouble = trouble

    async def send(self, customer_id: UUID, subject: str, message: str, traceparent: str) -> None:
        error = self.trouble((customer_id, subject, message))
        if error is not None:
            raise error
        self.sent.append((customer_id, subject, message))

    @property
    def subjects(self) -> list[str]:
        return [subject for _, subject, _ in self.sent]
