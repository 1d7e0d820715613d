"""The page itself: files, and what the browser may do with them."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(__file__).resolve().parents[1] / "static"
# Pico's icons are data: URLs in its stylesheet.
POLICY = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
    b" frame-ancestors 'none'"
)
# AsyncAPI's component compiles the schemas that it checks the document against.
EVENTS_POLICY = POLICY + b"; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"


def router() -> APIRouter:
    routes = APIRouter()

    @routes.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @routes.get("/events", include_in_schema=False)
    async def events() -> FileResponse:
        return FileResponse(STATIC / "events.html")

    routes.mount("/static", StaticFiles(directory=STATIC))
    return routes


class PageHeaders:
    """No script runs on the page but its own files, and no other page shows it in a frame."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy = EVENTS_POLICY if scope.get("path") == "/events" else POLICY
        headers = ((b"content-security-policy", policy), (b"referrer-policy", b"no-referrer"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)
