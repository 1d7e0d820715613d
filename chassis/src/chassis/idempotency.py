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
    INSERT INTO idempotency_keys AS known (caller, key, request_fingerprint, resource_id)
    SELECT * FROM unnest(CAST(:callers AS text[]), CAST(:keys AS text[]), CAST(:fingerprints AS bytea[]),
                         CAST(:resources AS uuid[])) AS c (caller, key)
    ORDER BY c.caller, c.key
    ON CONFLICT (caller, key) DO UPDATE
        SET request_fingerprint = excluded.request_fingerprint, resource_id = excluded.resource_id, created_at = now()
        WHERE known.created_at < now() - make_interval(hours => :hours)
    """
)
_OWNERS = text(
    """
    SELECT caller, key, request_fingerprint, resource_id
    FROM unnest(CAST(:callers AS text[]), CAST(:keys AS text[])) AS c (caller, key)
    JOIN idempotency_keys USING (caller, key)
    """
)
_PRUNE = deletion("idempotency_keys", "created_at < now() - make_interval(hours => :hours)")


@dataclass(frozen=True, slots=True)
class Claim:
    """A key, a digest of the request that bears it, and the id of what that request makes."""

    caller: str
    """Whose key it is, in whatever form tells callers apart: another caller's same key is another key."""
    key: str
    fingerprint: bytes
    resource_id: UUID


def idempotency_table(metadata: MetaData) -> Table:
    return Table(
        "idempotency_keys",
        metadata,
        Column("caller", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("request_fingerprint", LargeBinary, nullable=False),
        Column("resource_id", Uuid, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    )


def checked_key(value: str | None) -> str | None:
    """The Idempotency-Key header's value; raises a 422 problem unless it is 1 to 255 visible ASCII characters."""
    if value is None or _KEY.fullmatch(value):
        return value
    raise Problem(422, "invalid-idempotency-key", detail="Idempotency-Key must be 1 to 255 visible ASCII characters.")


async def claim(connection: AsyncConnection, claims: Sequence[Claim]) -> dict[UUID, Claim]:
    """Claims the keys and returns, by each claim's resource_id, who owns its key: the claim itself, or an earlier one
    that is younger than KEPT_HOURS.

    Of two transactions with the same key the second waits for the end of the first; a key that several claims of one
    call bear belongs to the first of them.
    """
    if not claims:
        return {}
    first = {(claim.caller, claim.key): claim for claim in reversed(claims)}
    names = {"callers": [caller for caller, _ in first], "keys": [key for _, key in first]}
    await connection.execute(
        _CLAIM,
        {
            **names,
            "fingerprints": [claim.fingerprint for claim in first.values()],
            "resources": [claim.resource_id for claim in first.values()],
            "hours": KEPT_HOURS,
        },
    )
    found = [Claim(*row) for row in await connection.execute(_OWNERS, names)]
    owners = {(owner.caller, owner.key): owner for owner in found}
    return {claim.resource_id: owners[claim.caller, claim.key] for claim in claims}


async def prune(connection: AsyncConnection) -> None:
    """Forgets the keys that are older than KEPT_HOURS."""
    await delete_in_batches(connection, _PRUNE, hours=KEPT_HOURS)
