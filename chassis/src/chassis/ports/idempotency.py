"""Idempotency keys, as use cases see them."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """A key, a digest of the request that came with it, and the id of what that request creates."""

    caller: str
    """Whose key it is, in whatever form tells callers apart: another caller's same key is another key."""
    key: str
    fingerprint: bytes
    resource_id: UUID
