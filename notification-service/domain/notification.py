"""A notification: what a customer was told, how, and when."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Notification:
    id: UUID
    customer_id: UUID
    subject: str
    message: str
    channel: str
    status: str
    sent_at: datetime
