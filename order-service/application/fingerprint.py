"""The digest of a request, which is stored with its idempotency key to recognize the same request."""

import json
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from domain.events import Line


def fingerprint(customer_id: UUID, items: Sequence[Line]) -> bytes:
    """The digest of JSON with sorted keys, no spaces, and prices as decimal strings.

    A request's digest may never change, because new code verifies what old code stored. A field that is added later
    stays out of the digest of requests without that field.
    """
    asked = {
        "customer_id": str(customer_id),
        "items": [
            {"price": str(line.price), "product_id": str(line.product_id), "quantity": line.quantity} for line in items
        ],
    }
    return sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).digest()


def is_of(digest: bytes, customer_id: UUID, items: Sequence[Line]) -> bool:
    """Whether the digest is this request's."""
    return digest in (fingerprint(customer_id, items), _fingerprint_until_0003(customer_id, items))


def _fingerprint_until_0003(customer_id: UUID, items: Sequence[Line]) -> bytes:
    """The digest before migration 0003. Keys live for 24 hours, so this function can go once every installation has
    run newer code for a day."""
    lines = ", ".join(
        f"Line(product_id=UUID('{line.product_id}'), quantity={line.quantity}, price=Decimal('{line.price}'))"
        for line in items
    )
    comma = "," if len(items) == 1 else ""
    return sha256(f"(UUID('{customer_id}'), ({lines}{comma}))".encode()).digest()
