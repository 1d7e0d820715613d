"""What a person breaks on the page, in development, to see it heal."""

from collections.abc import Awaitable, Callable

import orjson
from chassis.http.access import allows
from chassis.http.problems import Problem
from chassis.http.requests import read_json
from fastapi import APIRouter, Request, Response

from api.schemas import Break
from application.ports import Breaking, Refused
from application.watching import Watching


def router(breaking: Breaking, watching: Watching) -> APIRouter:
    routes = APIRouter(prefix="/api", include_in_schema=False)

    @routes.post("/break")
    @allows("staff")
    async def break_it(request: Request) -> Response:
        """Breaks one thing. The answer has a number where something can be counted."""
        body = await read_json(request, Break)
        acts: dict[str, Callable[[], Awaitable[int | None]]] = {
            "kill": lambda: breaking.kill(body.service, body.replica),
            "disconnect": lambda: breaking.disconnect(body.service),
            "gateway": lambda: breaking.gateway(body.answers),
            "poison": breaking.poison,
            "again": lambda: breaking.again([*watching.passed]),
            "wipe": lambda: breaking.wipe(body.service),
        }
        try:
            return Response(orjson.dumps({"number": await acts[body.act]()}), media_type="application/json")
        except Refused as refusal:
            raise Problem(refusal.status, refusal.slug, refusal.detail) from None

    return routes
