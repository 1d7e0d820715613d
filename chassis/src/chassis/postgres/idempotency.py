"""Idempotency keys: the request that created each resource, committed with the resource.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from collections.abc import Sequence
from uuid import UUID

from chassis.ports.unit_of_work import Claim
from chassis.postgres.repository import deletion
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KEPT_HOURS = 24

CLAIM = text(
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
OWNERS = text(
    """
    SELECT caller, key, request_fingerprint, resource_id
    FROM unnest(CAST(:callers AS text[]), CAST(:keys AS text[])) AS c (caller, key)
    JOIN idempotency_keys USING (caller, key)
    """
)
RELEASE = text(
    """
    DELETE FROM idempotency_keys AS known
    USING unnest(CAST(:callers AS text[]), CAST(:keys AS text[])) AS c (caller, key)
    WHERE known.caller = c.caller AND known.key = c.key
    """
)
PRUNE = deletion("idempotency_keys", f"created_at < now() - make_interval(hours => {KEPT_HOURS})")


async def claim(connection: AsyncConnection, claims: Sequence[Claim]) -> dict[UUID, Claim]:
    """Returns, by each claim's resource_id, the owner of its key: this claim, or an earlier one of the last KEPT_HOURS.

    Of two transactions with the same key, the second waits for the first; within one call, the first claim wins.
    """
    if not claims:
        return {}
    first = {(claim.caller, claim.key): claim for claim in reversed(claims)}
    names = {"callers": [caller for caller, _ in first], "keys": [key for _, key in first]}
    await connection.execute(
        CLAIM,
        {
            **names,
            "fingerprints": [claim.fingerprint for claim in first.values()],
            "resources": [claim.resource_id for claim in first.values()],
            "hours": KEPT_HOURS,
        },
    )
    found = [Claim(*row) for row in await connection.execute(OWNERS, names)]
    owners = {(owner.caller, owner.key): owner for owner in found}
    return {claim.resource_id: owners[claim.caller, claim.key] for claim in claims}


async def release(connection: AsyncConnection, claims: Sequence[Claim]) -> None:
    """Gives up keys that these claims got in the same transaction, for requests that are refused after all."""
    if claims:
        names = {"callers": [claim.caller for claim in claims], "keys": [claim.key for claim in claims]}
        await connection.execute(RELEASE, names)
