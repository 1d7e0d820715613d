"""What Schemathesis asks of every answer besides its own checks: see schemathesis.toml."""

import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.core.failures import Failure

_VALID_REQUEST_REFUSED = "ST202"
_BEYOND_JSON_SCHEMA = re.compile(
    "Decimal input should have no more than|the total of the items may be|a string may have no NUL character"
    "|must be the ETag as it came"  # a header's 0 passes for text of any pattern
)
_OF_ANY_ANSWER = {"cache-control", "content-length", "content-type", "date", "x-content-type-options"}


@schemathesis.check
def an_error_is_a_problem(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """RFC 9457, with the fields of docs/errors.md, and of the status that was sent."""
    if response.status_code < 400:
        return
    assert response.headers["content-type"] == ["application/problem+json"], "an error that is no problem document"
    problem = response.json()
    wanted = {"type", "title", "status", "detail", "instance", "trace_id"}
    validation = problem.get("type") == "/problems/validation-error"
    assert problem.keys() == (wanted | {"errors"} if validation else wanted)
    assert problem["status"] == response.status_code
    assert re.fullmatch("/problems/[a-z-]+", problem["type"])
    assert re.fullmatch("[0-9a-f]{32}", problem["trace_id"])
    assert all(problem[field] for field in wanted)
    if response.status_code == 405:
        assert response.headers["allow"], "without the methods that there are"


@schemathesis.check
def every_header_is_documented(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    documented = case.operation.responses.find_by_status_code(response.status_code)
    known = {name.lower() for name in documented.definition.get("headers", {})} if documented else {"allow"}
    unknown = {name.lower() for name in response.headers} - known - _OF_ANY_ANSWER
    assert not unknown, f"undocumented headers: {sorted(unknown)}"


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """A request may fit its schema and be refused for what JSON Schema can't say: two decimals (`multipleOf` 0.01
    fails in validators that reckon with doubles), the sum of the lines, a NUL in a string, a key that came with another
    body, an ETag that is not the item's."""
    if failure.code != _VALID_REQUEST_REFUSED or response.status_code not in (412, 422):
        return True
    problem = response.json()
    if problem["type"] in ("/problems/idempotency-key-reused", "/problems/precondition-failed"):
        return False
    errors = problem.get("errors", [])
    return not (errors and all(_BEYOND_JSON_SCHEMA.match(error["message"]) for error in errors))
