"""The application factory: what the four services have in common over HTTP."""

import gc
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog
from chassis.http import health, openapi, problems
from chassis.http.access import Gate, Guard, Part
from chassis.http.internal import InternalServer
from chassis.ports import tracing
from chassis.ports.errors import Unavailable
from chassis.ports.tracing import new_traceparent, trace_id, unsampled, valid_traceparent
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_REQUESTS_IN_HAND = 1_000
"""More are refused at once, because a request that outwaits its caller is work for nobody."""
ALWAYS_ANSWERED = ("/health", "/metrics")
"""Prefixes of paths. If an overloaded process seemed dead, it would be restarted and the load would stay."""

ANSWER_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""What one caller may see, a cache on the way must not show to the next, nor a browser take for something else."""

GC_THRESHOLDS = (50_000, 20, 20)
"""Requests make few cycles. With Python's own (700, 10, 10) the order service seeks them a fifth of its time."""

REQUEST_SECONDS = Histogram(
    "http_request_duration_seconds",
    "Time to answer a request",
    ("method", "route", "status"),
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)

log = structlog.get_logger()


def create_app(
    *,
    service: str,
    version: str,
    summary: str,
    routers: Sequence[APIRouter],
    parts: Sequence[Part],
    checks: Mapping[str, health.Check],
    ready: tuple[str, ...],
    lost: Mapping[str, health.Check] | None = None,
    errors: Mapping[type[Exception], int] | None = None,
    guard: Guard,
    development: Sequence[APIRouter] = (),
) -> FastAPI:
    """The service's application. `parts` start in order and stop in reverse order. None waits for its server to start,
    so a service always starts, and /health names what is still missing. `development` has the routes that break things,
    which only a guard of development lets in."""
    everything = [*guard.parts, *parts]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        log.warning(guard.summary)
        for part in everything:
            await part.start()
        gc.collect()
        gc.freeze()  # what was imported stays, so no collection needs to look at it
        gc.set_threshold(*GC_THRESHOLDS)
        log.info("started", version=version)
        yield
        log.info("stopping: finishing what is in hand")
        for part in reversed(everything):
            await part.stop()
        if tracing.recorder is not None:
            await tracing.recorder.stop()
        log.info("stopped")

    make = partial(FastAPI, openapi_url=None) if guard.internal_address else partial(FastAPIOffline, redoc_url=None)
    app = make(
        title=service,
        version=version,
        summary=summary,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    problems.install(app, errors or {})
    for router in (*routers, *(development if guard.development else ())):
        app.router.routes += router.routes  # include_router() would search for the route of each request twice
    about = {"service": service, "version": version, "access": guard.summary}
    watching = health.router(about, {**checks, **guard.checks}, (*ready, *guard.checks), lost)

    @watching.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    if guard.internal_address:
        internal = FastAPI(openapi_url=None)
        internal.router.routes += watching.routes
        everything.insert(0, InternalServer(internal, guard.internal_address))
    else:
        app.router.routes += watching.routes
        app.add_api_route("/", _documentation, include_in_schema=False)
    app.router.middleware_stack = Gate(app.router.middleware_stack, app.router.routes, guard.admit)
    openapi.complete(app)
    app.add_middleware(RequestContext)
    return app


async def _documentation() -> Response:
    return RedirectResponse("/docs")


class RequestContext:
    """Gives every request a trace, measures it, refuses it under overload and turns unexpected errors into problems.
    Plain ASGI, because Starlette's BaseHTTPMiddleware costs a task and two streams per request. Measured here, because
    prometheus-fastapi-instrumentator matches each request against the routes a second time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *ANSWER_HEADERS]
            await send(message)

        method = scope["method"]
        if method == "HEAD":  # the server leaves out the body of what GET answers
            scope = {**scope, "method": "GET"}
        header = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        caller = valid_traceparent(header.decode("latin-1"))
        always_answered = scope["path"].startswith(ALWAYS_ANSWERED)
        span = None if tracing.recorder is None or always_answered else tracing.recorder.request(caller)
        traceparent = span.traceparent if span else unsampled(caller) if caller else new_traceparent()
        scope.setdefault("state", {})["traceparent"] = traceparent
        self._in_hand += 1
        try:
            if self._in_hand > MAX_REQUESTS_IN_HAND and not always_answered:
                raise Unavailable("too many requests are in hand")
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            if status:
                raise
            await problems.failure(Request(scope), error)(scope, receive, send_and_note)
        finally:
            self._in_hand -= 1
            route = getattr(scope.get("route"), "path", "none")
            seconds = time.perf_counter() - began
            REQUEST_SECONDS.labels(method, route, status).observe(seconds)
            if span is not None:
                span.end(method, route, status)
            log.debug(
                "request",
                method=method,
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 1),
                trace_id=trace_id(traceparent),
            )
