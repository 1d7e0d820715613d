"""The digest of a request, which is stored with its idempotency key to recognize the same request."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from domain.events import Line


def fingerprint(asked: Mapping[str, Any]) -> bytes:
    """Of what was asked for, as JSON with sorted keys and no spaces, and with prices as decimal strings.

    Today's code verifies the digests that yesterday's code made, so the digest of a request may never change: a field
    that the request doesn't have is not in it (`given`).
    """
    return sha256(json.dumps(asked, default=_plain, sort_keys=True, separators=(",", ":")).encode()).digest()


def given(record: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not None."""
    values = ((field.name, getattr(record, field.name)) for field in fields(record))
    return {name: value for name, value in values if value is not None}


def is_of(digest: bytes, asked: Mapping[str, Any]) -> bool:
    """Whether the digest is this request's."""
    if digest == fingerprint(asked):
        return True
    return asked.keys() == {"customer_id", "items"} and digest == _fingerprint_until_0003(**asked)


def _plain(value: Any) -> object:
    return given(value) if is_dataclass(value) else str(value)


def _fingerprint_until_0003(customer_id: UUID, items: Sequence[Line]) -> bytes:
    """The digest before migration 0003. Keys live for 24 hours: this can go a day after every installation's update."""
    lines = ", ".join(
        f"Line(product_id=UUID('{line.product_id}'), quantity={line.quantity}, price=Decimal('{line.price}'))"
        for line in items
    )
    comma = "," if len(items) == 1 else ""
    return sha256(f"(UUID('{customer_id}'), ({lines}{comma}))".encode()).digest()
