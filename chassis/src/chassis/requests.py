"""Reading and answering JSON requests: bounded, strict, and with the money as exact as it was sent."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from chassis.openapi import reference
from chassis.problems import Problem, validation_problem
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError, WithJsonSchema
from starlette.requests import ClientDisconnect

MAX_BODY_BYTES = 64 * 1024

# A double round-trips a decimal of up to 15 significant digits, and NUMERIC(12,2) has at most 12.
JsonNumber = Annotated[Decimal, PlainSerializer(float, return_type=float), WithJsonSchema({"type": "number"})]


class RequestModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body with `read_json`."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference(model)}}}}


M = TypeVar("M", bound=BaseModel)


async def read_json(request: Request, model: type[M]) -> M:
    """The body, read and validated in one step.

    Raises the problems 415 (another content type), 413 (over MAX_BODY_BYTES), 400 (not JSON), 422 (not this model).
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise Problem(
            415,
            "unsupported-media-type",
            detail="Send the body as JSON, with the header Content-Type: application/json.",
        )
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise Problem(413, "content-too-large", detail=f"The body may have at most {MAX_BODY_BYTES} bytes.")
    except ClientDisconnect:
        raise Problem(400, "bad-request", detail="The body ended before it was complete.") from None
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise Problem(400, "malformed-json", detail=f"The body is not JSON: {errors[0]['msg']}.") from None
        raise validation_problem(errors) from None


def json_response(content: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(content.model_dump_json(), status, headers, "application/json")
