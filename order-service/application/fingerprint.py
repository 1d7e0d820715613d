"""By what a second request under an idempotency key is known to be the same: a digest, kept beside the key."""

import json
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from domain.events import Line


def fingerprint(customer_id: UUID, items: Sequence[Line]) -> bytes:
    """A digest of what was asked for, as JSON without spaces, keys sorted, prices as the decimals that they are.

    Digests of one day's code are compared with those of the next day's, so what a request of today yields may never
    change: a field that is added later is left out here where the request leaves it out.
    """
    asked = {
        "customer_id": str(customer_id),
        "items": [
            {"price": str(line.price), "product_id": str(line.product_id), "quantity": line.quantity} for line in items
        ],
    }
    return sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).digest()


def is_of(digest: bytes, customer_id: UUID, items: Sequence[Line]) -> bool:
    """Whether the digest was made of this request."""
    return digest in (fingerprint(customer_id, items), _fingerprint_until_0003(customer_id, items))


def _fingerprint_until_0003(customer_id: UUID, items: Sequence[Line]) -> bytes:
    """As it was made before migration 0003, when it followed the names of our classes. A key lives for 24 hours, so
    this may go once every installation has run newer code for a day."""
    lines = ", ".join(
        f"Line(product_id=UUID('{line.product_id}'), quantity={line.quantity}, price=Decimal('{line.price}'))"
        for line in items
    )
    comma = "," if len(items) == 1 else ""
    return sha256(f"(UUID('{customer_id}'), ({lines}{comma}))".encode()).digest()
