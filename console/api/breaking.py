"""What exists in development only: what a person breaks to see it heal, and a crowd of customers whom there aren't."""

from collections.abc import Awaitable, Callable
from typing import Any

from chassis.http.access import allows
from chassis.http.requests import read_json
from fastapi import APIRouter, Request, Response

from api.acts import answered
from api.schemas import Break, GatherCrowd
from application.acts import Acts
from application.ports import Breaking
from application.watching import Watching


def router(breaking: Breaking, watching: Watching, acts: Acts) -> APIRouter:
    routes = APIRouter(prefix="/api", include_in_schema=False)

    @routes.post("/break")
    @allows("staff")
    async def break_it(request: Request) -> Response:
        """Breaks one thing. The answer has a number where something can be counted."""
        body = await read_json(request, Break)
        kinds: dict[str, Callable[[], Awaitable[int | None]]] = {
            "kill": lambda: breaking.kill(body.service, body.replica),
            "disconnect": lambda: breaking.disconnect(body.service),
            "gateway": lambda: breaking.gateway(body.answers),
            "poison": breaking.poison,
            "again": lambda: breaking.again([*watching.passed]),
            "wipe": lambda: breaking.wipe(body.service),
        }

        async def act() -> dict[str, int | None]:
            return {"number": await kinds[body.act]()}

        return await answered(act)

    @routes.post("/crowd")
    @allows("staff")
    async def gather_crowd(request: Request) -> Response:
        """Lets many customers want the same few pieces; the stream shows how it goes."""
        body = await read_json(request, GatherCrowd)

        async def gather() -> dict[str, Any]:
            return (await acts.gather(body.customers, body.pieces)).picture()

        return await answered(gather)

    return routes
