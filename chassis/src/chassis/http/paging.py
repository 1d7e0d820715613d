"""Lists in pages: `limit`, and a cursor that the caller finds in a Link header (RFC 8288) and sends back."""

import re
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from chassis.http.openapi import header
from fastapi import Query, Request, Response
from pydantic import AwareDatetime, BaseModel, BeforeValidator

Limit = Annotated[int, Query(ge=1, le=200, description="How many to return at most.")]
Cursor = Annotated[
    UUID | None, Query(description="Where to go on: take it from the Link header of the page before, as it is.")
]


def _written_out(value: object) -> object:
    """A number would be taken for seconds since 1970."""
    if isinstance(value, str) and not re.match(r"\d{4}-", value):
        raise ValueError("must be a time as RFC 3339 has it, such as 2026-11-24T12:00:00Z")
    return value


Since = Annotated[
    AwareDatetime | None,
    BeforeValidator(_written_out),
    Query(description="Only what was created then or later: a time as RFC 3339 has it."),
]

PAGE: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"Link": header('Where the next page is, if there is one: `<...>; rel="next"`.')}}
}


def page(request: Request, model: type[BaseModel], rows: Sequence[Any], limit: int) -> Response:
    """The first `limit` rows. The caller reads one row more, which shows whether there is a next page."""
    shown = rows[:limit]
    headers = {}
    if len(rows) > limit:
        following = request.url.include_query_params(limit=limit, cursor=str(shown[-1].id))
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    body = f"[{','.join(model.model_validate(row).model_dump_json() for row in shown)}]"
    return Response(body, headers=headers, media_type="application/json")
