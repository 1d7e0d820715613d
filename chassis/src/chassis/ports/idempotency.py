"""Idempotency keys, as use cases see them."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """A key, the digest of the request that came with it, and the id of the resource that the request creates."""

    caller: str
    """The key's owner: two callers may use the same key without meeting."""
    key: str
    fingerprint: bytes
    resource_id: UUID
