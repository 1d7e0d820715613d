"""The conditions under which stock is set: https://www.rfc-editor.org/rfc/rfc9110#section-13.1

An item's ETag is its revision, which orders don't change, so one ETag may stand for different quantities. No cache is
misled, because every answer is `no-store`.
"""

import re
from collections.abc import Callable, Sequence

from chassis.http.problems import validation_problem
from pydantic.config import JsonDict
from starlette.datastructures import Headers

_ETAG = '(W/)?"[!#-~]*"'
_LIST = rf"\*|{_ETAG}( *, *{_ETAG})*"
_ONE: JsonDict = {"type": "string", "pattern": r'^(\*|"[0-9]+")$'}
"""What a client needs. Lists of ETags and weak ones, which HTTP allows, are understood too."""
CONDITIONS: list[JsonDict] = [
    {"name": name, "in": "header", "description": description, "schema": _ONE}
    for name, description in (
        ("If-Match", "Sets only an item that still has this ETag."),
        ("If-None-Match", "`*`: sets only the stock of a product that has no item yet."),
    )
]


def etag(revision: int) -> str:
    return f'"{revision}"'


def condition(headers: Headers) -> Callable[[int], bool] | None:
    """Tells whether both headers allow for an item of a revision, which is 0 if there is none. None without them.
    Raises a 422 problem for what is no list of ETags."""
    match, none_match = _tags(headers, "If-Match"), _tags(headers, "If-None-Match")
    if match is none_match is None:
        return None
    return lambda revision: (match is None or _name(match, revision)) and not _name(none_match or (), revision)


def _tags(headers: Headers, name: str) -> Sequence[str] | None:
    """None if there is no such header."""
    lines = headers.getlist(name)
    if not lines:
        return None
    value = ",".join(lines)
    if not re.fullmatch(_LIST, value):
        raise validation_problem([{"loc": (name,), "msg": 'must be the ETag as it came, in its quotes: "7"; or *'}])
    return [tag.strip() for tag in value.split(",")]


def _name(tags: Sequence[str], revision: int) -> bool:
    """Whether the tags name the item: by its ETag or, if there is one, by `*`."""
    return revision > 0 and not {"*", etag(revision)}.isdisjoint(tags)
