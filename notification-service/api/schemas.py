"""The bodies of requests and answers."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from chassis.http.requests import RequestModel, ResponseModel
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

_NOTE: JsonDict = {
    "customer_id": "5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11",
    "subject": "Your parcel",
    "message": "It arrives tomorrow.",
}
_NOTIFICATION: JsonDict = {
    "id": "0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be004",
    **_NOTE,
    "channel": "log",
    "status": "sent",
    "sent_at": "2026-11-24T12:00:00Z",
}


class SendNotificationRequest(RequestModel):
    model_config = ConfigDict(json_schema_extra={"example": _NOTE})

    customer_id: UUID
    """Who is told."""
    subject: Annotated[str, Field(min_length=1, max_length=200)]
    """What it is about."""
    message: Annotated[str, Field(min_length=1, max_length=10_000)]
    """What the customer reads."""


class NotificationResponse(ResponseModel):
    model_config = ConfigDict(json_schema_extra={"example": _NOTIFICATION})

    id: UUID
    """The notification."""
    customer_id: UUID
    """Who was told."""
    subject: str
    """What it is about."""
    message: str
    """What the customer reads."""
    channel: str
    """How it was sent, such as `log`."""
    status: Literal["sent"]
    """What became of it."""
    sent_at: datetime
    """When it was sent."""
