"""Idempotency keys: which request made which resource, kept in the transaction that made it.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.bulk import delete_in_batches, deletion
from chassis.problems import Problem
from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Table, Text, Uuid, func, text
from sqlalchemy.ext.asyncio import AsyncConnection

KEPT_HOURS = 24
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

_CLAIM = text(
    """
    INSERT INTO idempotency_keys AS known (key, fingerprint, resource_id)
    SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:fingerprints AS bytea[]), CAST(:resources AS uuid[])) AS c (key)
    ORDER BY c.key
    ON CONFLICT (key) DO UPDATE
        SET fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, created_at = now()
        WHERE known.created_at < now() - make_interval(hours => :hours)
    """
)
_OWNERS = text("SELECT key, fingerprint, resource_id FROM idempotency_keys WHERE key = ANY(CAST(:keys AS text[]))")
_PRUNE = deletion("idempotency_keys", "created_at < now() - make_interval(hours => :hours)")


@dataclass(frozen=True, slots=True)
class Claim:
    """A key, a digest of the request that bears it, and the id of what that request makes."""

    key: str
    fingerprint: bytes
    resource_id: UUID


def idempotency_table(metadata: MetaData) -> Table:
    return Table(
        "idempotency_keys",
        metadata,
        Column("key", Text, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("resource_id", Uuid, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    )


def checked_key(value: str | None) -> str | None:
    """The Idempotency-Key header's value; raises a 422 problem unless it is 1 to 255 visible ASCII characters."""
    if value is None or _KEY.fullmatch(value):
        return value
    raise Problem(422, "invalid-idempotency-key", detail="Idempotency-Key must be 1 to 255 visible ASCII characters.")


async def claim(connection: AsyncConnection, claims: Sequence[Claim]) -> dict[str, Claim]:
    """Claims the keys and returns who owns each: the claim itself, or the one that came first within KEPT_HOURS.

    Of two transactions with the same key the second waits for the end of the first; a key that several claims of one
    call bear belongs to the first of them.
    """
    if not claims:
        return {}
    first = {claim.key: claim for claim in reversed(claims)}
    await connection.execute(
        _CLAIM,
        {
            "keys": list(first),
            "fingerprints": [claim.fingerprint for claim in first.values()],
            "resources": [claim.resource_id for claim in first.values()],
            "hours": KEPT_HOURS,
        },
    )
    owners = await connection.execute(_OWNERS, {"keys": list(first)})
    return {row.key: Claim(row.key, row.fingerprint, row.resource_id) for row in owners}


async def prune(connection: AsyncConnection) -> None:
    """Forgets the keys that are older than KEPT_HOURS."""
    await delete_in_batches(connection, _PRUNE, hours=KEPT_HOURS)
