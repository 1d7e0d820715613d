"""The bodies of requests and answers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from chassis.http.requests import RequestModel
from pydantic import BaseModel, ConfigDict, Field
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
    subject: Annotated[str, Field(min_length=1, max_length=200)]
    message: Annotated[str, Field(min_length=1, max_length=10_000)]


class NotificationResponse(BaseModel):
    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _NOTIFICATION})

    id: UUID
    customer_id: UUID
    subject: str
    message: str
    channel: str
    status: str
    sent_at: datetime
