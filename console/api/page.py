"""The page itself: files, and what the browser may do with them."""

from pathlib import Path
from urllib.parse import urlsplit

from chassis.http.access import allows
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(__file__).resolve().parents[1] / "static"
# Pico's icons are data: URLs in its stylesheet.
_POLICY = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
    b" frame-ancestors 'none'"
)
# AsyncAPI's component compiles the schemas that it checks the document against.
_EVENTS_POLICY = _POLICY + b"; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"


def router() -> APIRouter:
    """For anybody: nothing of it is secret."""
    routes = APIRouter(include_in_schema=False)
    files = StaticFiles(directory=STATIC)

    @routes.get("/")
    @allows("anybody")
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @routes.get("/events")
    @allows("anybody")
    async def events() -> FileResponse:
        return FileResponse(STATIC / "events.html")

    @routes.get("/static/{path:path}")
    @allows("anybody")
    async def file(request: Request) -> Response:
        return await files.get_response(request.path_params["path"], request.scope)

    return routes


class PageHeaders:
    """No script runs on the page but its own files, no other page shows it in a frame, and it connects to nobody but
    its server and the issuer that signs people in."""

    def __init__(self, app: ASGIApp, *, issuer: str) -> None:
        """`issuer` is its URL, or empty."""
        self._app = app
        parts = urlsplit(issuer)
        self._policy = _POLICY + f"; connect-src 'self' {parts.scheme}://{parts.netloc}".encode() if issuer else _POLICY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy = _EVENTS_POLICY if scope.get("path") == "/events" else self._policy
        headers = ((b"content-security-policy", policy), (b"referrer-policy", b"no-referrer"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)
