"""The contracts: schema and example of each event, as its producer keeps them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # it ships none

ROOT = Path(__file__).parents[2]
OURS = ROOT / "inventory-service" / "contracts"

_formats = FormatChecker(["uuid"])


@_formats.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator]
def _is_utc(value: object) -> bool:
    """RFC 3339 in UTC, which is stricter than the format asks: it is what our events have."""
    return not isinstance(value, str) or (value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None)


def schema_of(event: str, contracts: Path = OURS) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads((contracts / f"{event}.schema.json").read_bytes())
    return document


def example_of(event: str, contracts: Path = OURS) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads((contracts / f"{event}.example.json").read_bytes())
    return document


def violations(document: object, event: str) -> list[str]:
    """What in the document breaks the event's schema; empty when it fits."""
    validator = Draft202012Validator(schema_of(event), format_checker=_formats)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
