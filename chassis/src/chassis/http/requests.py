"""Reads and answers JSON requests: with limits, strictly, and without rounding money."""

import asyncio
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Self, TypeVar

from chassis.http.openapi import header, reference
from chassis.http.problems import Problem, validation_problem
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic.config import JsonDict
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
BODY_WITHIN_SECONDS = 20
"""A slower client would occupy one of MAX_REQUESTS_IN_HAND for nothing."""

# A double round-trips a decimal of up to 15 significant digits, and NUMERIC(12,2) has at most 12.
JsonNumber = Annotated[Decimal, PlainSerializer(float, return_type=float), WithJsonSchema({"type": "number"})]

_CENT = Decimal("0.01")
_PRICE = r"^(?=.*[1-9])[0-9]{1,10}(\.[0-9]{1,2})?$"
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# A number that a double may round: pydantic reads every number with a point as a double.
_LONG_NUMBER = re.compile(rb"[:,\[]\s*-?[0-9][0-9.eE+-]{15,}")
# Characters that PostgreSQL can't store as text. JSON allows them in escaped form only.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_NO_TEXT_ESCAPED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def _as_integer(value: object) -> object:
    return int(value) if isinstance(value, float | Decimal) and value % 1 == 0 else value


INTEGRAL = BeforeValidator(_as_integer)
"""Makes a strict int accept 2.0, as JSON Schema does, but not "2" or true."""


def _plain_decimal(value: object) -> object:
    """Refuses strings like "1_0", " 1e2 " and digits of other scripts, which Decimal accepts."""
    if isinstance(value, str) and not re.fullmatch(_PRICE, value):
        raise ValueError("a price is a number over 0 with at most two decimals")
    return value


Price = Annotated[
    Decimal,
    BeforeValidator(_plain_decimal),
    Field(gt=0, max_digits=12, decimal_places=2, allow_inf_nan=False),
    AfterValidator(lambda price: price.quantize(_CENT)),
    WithJsonSchema(
        {
            "description": "The price of one piece, with at most two decimals.",
            "anyOf": [
                {"type": "number", "minimum": 0.01, "maximum": 9999999999.99},
                {"type": "string", "pattern": _PRICE},
            ],
        }
    ),
]
"""A NUMERIC(12,2) over 0: a JSON number, or a string. Two decimals, however many the request has."""


class RequestModel(BaseModel):
    """A request's body. Refuses unknown fields, and any string that PostgreSQL can't store."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Raises ValidationError, or a 422 problem for a string that PostgreSQL can't store."""
        if _NO_TEXT_ESCAPED.search(body):
            _refuse_unstorable_text(body)
        content = cls.model_validate_json(body)
        if _LONG_NUMBER.search(body):
            content = cls.model_validate(json.loads(body, parse_float=Decimal))
        return content


class ResponseModel(BaseModel):
    """An answer's body, made from an object's attributes."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)


def _refuse_unstorable_text(body: bytes) -> None:
    try:
        places: list[tuple[tuple[str | int, ...], Any]] = [((), json.loads(body.decode()))]
    except (ValueError, RecursionError):
        return  # not JSON or too deep, as the model will say
    errors = []
    for path, value in places:  # the loop adds to it
        if isinstance(value, str) and _NO_TEXT.search(value):
            shown = (str(part).encode(errors="backslashreplace").decode() for part in path)
            errors.append({"loc": tuple(shown), "msg": "a string may have no NUL character and no lone surrogate"})
        elif isinstance(value, list):
            places += [((*path, index), element) for index, element in enumerate(value)]
        elif isinstance(value, dict):
            places += [((*path, name), part) for name, inner in value.items() for part in (name, inner)]
    if errors:
        raise validation_problem(errors)


class BareRoute(APIRoute):
    """The endpoint takes only the request: FastAPI's machinery would cost more than its work (docs/performance.md)."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body with `read_json`."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference(model)}}}}


M = TypeVar("M", bound=RequestModel)


async def read_json(request: Request, model: type[M]) -> M:
    """Reads and validates the body. Raises the problems 415 (another content type), 413 (over MAX_BODY_BYTES), 408 (not
    within BODY_WITHIN_SECONDS), 400 (not JSON) and 422 (not this model)."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        detail = "Send the body as JSON, with the header Content-Type: application/json."
        raise Problem(415, "unsupported-media-type", detail)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise Problem(413, "content-too-large", f"The body may have at most {MAX_BODY_BYTES} bytes.")
    except TimeoutError:
        detail = f"The body did not arrive within {BODY_WITHIN_SECONDS} seconds."
        raise Problem(408, "request-timeout", detail) from None
    except ClientDisconnect:
        raise Problem(400, "bad-request", "The body ended before it was complete.") from None
    try:
        return model.from_body(bytes(body))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise Problem(400, "malformed-json", f"The body is not JSON: {errors[0]['msg']}.") from None
        raise validation_problem(errors) from None


IDEMPOTENCY_KEY: JsonDict = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes the same request again safe, for 24 hours. 1 to 255 visible ASCII characters, or the answer"
    " is 422, `invalid-idempotency-key`.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
REPLAYED = {"Idempotent-Replayed": header("The request came before; this is its first answer.", const="true")}

K = TypeVar("K", bound=str | None)


def checked_key(value: K) -> K:
    """The Idempotency-Key header's value; raises a 422 problem unless it is 1 to 255 visible ASCII characters. None,
    for a request that has none and needs none, is returned."""
    if value is None or _IDEMPOTENCY_KEY.fullmatch(value):
        return value
    raise Problem(422, "invalid-idempotency-key", "Idempotency-Key must be 1 to 255 visible ASCII characters.")


def json_response(content: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(content.model_dump_json(), status, headers, "application/json")
