"""Errors as RFC 9457 problem details (`application/problem+json`). Their slugs are listed in docs/errors.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from chassis.http.openapi import header, reference
from chassis.ports.errors import Conflict, is_outage, reason_of
from chassis.ports.tracing import trace_id
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
_LATER = {429, 503}
"""Statuses that say when to come again."""
_SLUGS = {404: "not-found", 405: "method-not-allowed"}  # of errors that the framework raises
_COMMON = {
    400: ("malformed-json", "bad-request"),
    401: ("unauthenticated",),
    403: ("forbidden",),
    404: ("not-found",),
    408: ("request-timeout",),
    413: ("content-too-large",),
    415: ("unsupported-media-type",),
    422: ("validation-error",),
    429: ("too-many-requests",),
    503: ("unavailable",),
}
"""The slugs that any route with this status may answer with."""
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # as RFC 9110 has them; http.HTTPStatus only later

log = structlog.get_logger()


class FieldError(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    path: str
    """Which field, as in `items.0.quantity`."""
    message: str
    """What is wrong with it."""


class ProblemDetails(BaseModel):
    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "type": "/problems/not-found",
                "title": "Not Found",
                "status": 404,
                "detail": "There is no such order.",
                "instance": "/orders/0198c5f0-7d2a-7cc3-a1b4-2f6d1c9be001",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            }
        },
    )

    type: str
    """`/problems/` and a slug that never changes; docs/errors.md has all."""
    title: str
    """The status in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What was wrong and what to do, for people: it may change."""
    instance: str
    """The path that was asked for."""
    trace_id: str
    """Under which the service's log has the request."""
    errors: list[FieldError] | None = None
    """Of a `validation-error`: each field that is wrong."""


@dataclass(eq=False)
class Problem(Exception):
    status: int
    slug: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] | None = None


def documented(
    *problems: int | type[Exception], own: Mapping[type[Exception], int] | None = None
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route with these problems: statuses, or errors of the domain, whose statuses `own` has.
    Every route may also answer 401, 403, 429 and 503."""
    statuses = own or {}
    slugs: dict[int, list[str]] = {}
    for problem in (*problems, 401, 403, 429, 503):
        if isinstance(problem, int):
            slugs.setdefault(problem, []).extend(_COMMON.get(problem, ()))
        else:
            slugs.setdefault(statuses[problem], []).append(problem.slug)  # type: ignore[attr-defined]
    content = {MEDIA_TYPE: {"schema": reference(ProblemDetails)}}
    responses: dict[int | str, dict[str, Any]] = {
        status: {
            "description": f"{_title(status)}: {', '.join(names)}" if names else _title(status),
            "content": content,
        }
        for status, names in sorted(slugs.items())
    }
    wait = header("Seconds to wait before the next try.", type="integer", required=True)
    for status in _LATER:
        responses[status]["headers"] = {"Retry-After": wait}
    responses[401]["headers"] = {"WWW-Authenticate": header("What is wrong with the token.", required=True)}
    return responses


def _title(status: int) -> str:
    return _TITLES.get(status) or HTTPStatus(status).phrase


def validation_problem(errors: Sequence[Any]) -> Problem:
    """422 with the path and the message of each of pydantic's errors, without the input."""
    return Problem(
        422,
        "validation-error",
        "The request has fields that are missing, unknown or out of bounds; `errors` names them.",
        errors=[
            {
                "path": ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path")) or "body",
                "message": str(error["msg"]).removeprefix("Value error, "),
            }
            for error in errors[:100]
        ],
    )


def install(app: FastAPI, statuses: Mapping[type[Exception], int]) -> None:
    """Makes every error of the app a problem. `statuses` maps each domain error, which has a `slug`, to a status."""

    async def respond(request: Request, error: Exception) -> Response:
        match error:
            case Problem():
                problem = error
            case RequestValidationError():
                problem = validation_problem(error.errors())
            case HTTPException(status_code=status):
                headers = {"Allow": _allowed(request)} if status == 405 else error.headers
                detail = f"{request.method} {request.url.path}: {error.detail}."
                problem = Problem(status, _SLUGS.get(status, "bad-request"), detail, headers=headers)
            case _:
                problem = Problem(statuses[type(error)], getattr(error, "slug", "bad-request"), str(error))
        if problem.status in (403, 404):
            _note_refusal(request, problem)
        return _response(request, problem)

    for kind in (Problem, RequestValidationError, HTTPException, *statuses):
        app.add_exception_handler(kind, respond)


def _note_refusal(request: Request, problem: Problem) -> None:
    """Logs what a known caller did not get, since a 404 may mean that it belongs to somebody else."""
    caller = getattr(request.state, "caller", None)
    if caller is not None and caller.roles:
        log.warning(
            "refused",
            caller=caller.name,
            status=problem.status,
            reason=problem.detail,
            method=request.method,
            path=request.url.path[:200],
            trace_id=trace_id(request.state.traceparent),
        )


def _allowed(request: Request) -> str:
    """All methods of the path; the framework knows only those of the first route that matches."""
    route = getattr(request.scope.get("route"), "path", "")
    return ", ".join(sorted(method.upper() for method in request.app.openapi()["paths"].get(route, ("get",))))


def failure(request: Request, error: Exception) -> Response:
    """The response to an unexpected error, without its details: 503 if something is away, else 500."""
    if is_outage(error) or isinstance(error, Conflict):
        about = {"path": request.url.path, "trace_id": trace_id(request.state.traceparent)}
        log.debug("request refused", reason=reason_of(error), **about)
        detail = "The service can't do this right now. Try again later, with the same Idempotency-Key if it had one."
        return _response(request, Problem(503, "unavailable", detail))
    log.error("request failed", path=request.url.path, trace_id=trace_id(request.state.traceparent), exc_info=error)
    detail = "Something went wrong in the service; it was logged under this trace_id."
    return _response(request, Problem(500, "internal-error", detail))


def _response(request: Request, problem: Problem) -> Response:
    body: dict[str, object] = {
        "type": f"/problems/{problem.slug}",
        "title": _title(problem.status),
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
        "trace_id": trace_id(request.state.traceparent),
    }
    if problem.errors:
        body["errors"] = problem.errors
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if problem.status in _LATER else {}
    return Response(orjson.dumps(body), problem.status, headers | dict(problem.headers or {}), MEDIA_TYPE)
