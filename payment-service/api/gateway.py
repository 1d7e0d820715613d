"""In development, how the simulated gateway answers."""

from typing import Literal, Protocol

from chassis.http.access import allows
from chassis.http.requests import RequestModel, json_response, read_json
from fastapi import APIRouter, Request, Response

from domain.attempt import Answer, Reply

_REPLIES = {
    "normal": None,
    "declined": Reply(Answer.DECLINED),
    "error": Reply(Answer.ERROR),
    "silent": Reply(Answer.UNKNOWN),
}


class Gateway(Protocol):
    outage: Reply | None


class Answers(RequestModel):
    answers: Literal["normal", "declined", "error", "silent"]


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(prefix="/development/gateway", include_in_schema=False)

    @routes.post("")
    @allows("staff")
    async def set_answers(request: Request) -> Response:
        """Makes the gateway answer every call alike, or normally again."""
        body = await read_json(request, Answers)
        gateway.outage = _REPLIES[body.answers]
        return json_response(body)

    return routes
