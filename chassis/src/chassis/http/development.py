"""What a person may break in development, to see it heal. create_app serves these routes only where nobody is checked
and only this machine is answered."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from chassis.http.access import allows
from chassis.http.requests import RequestModel, read_json
from fastapi import APIRouter, Request, Response

_ANSWERED_WITHIN_SECONDS = 0.05


class Nothing(RequestModel):
    """An empty JSON object, which a foreign page can't send without being asked first."""


def router(disconnect: Callable[[], Awaitable[None]]) -> APIRouter:
    """`disconnect` cuts the connections to the broker."""
    routes = APIRouter(prefix="/development", include_in_schema=False)

    @routes.post("/kill")
    @allows("staff")
    async def kill(request: Request) -> Response:
        """Ends this process as a crash would. Whoever started it has to bring it back."""
        await read_json(request, Nothing)
        asyncio.get_running_loop().call_later(_ANSWERED_WITHIN_SECONDS, _crash)
        return Response(status_code=202)

    @routes.post("/disconnect")
    @allows("staff")
    async def cut(request: Request) -> Response:
        """Cuts the connections to the broker, as a network would. The service makes new ones."""
        await read_json(request, Nothing)
        await disconnect()
        return Response(status_code=202)

    return routes


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    os._exit(137)  # the first process of a container can't kill itself
