"""The inbox: the ids of the events that took effect, committed with the effect (idempotent receiver)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from chassis.postgres.repository import deletion
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KEPT_DAYS = 7

CREATE_INBOX_1 = (
    """
    CREATE TABLE inbox (
        consumer text,
        event_id uuid,
        processed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, event_id)
    )
    """,
    "CREATE INDEX inbox_processed_at ON inbox (processed_at)",
)
"""For the services' migrations, which never change: a change of the table is a CHANGE_INBOX_2 beside this."""

TAKE_IN = text(
    """
    WITH fresh AS (
        INSERT INTO inbox (consumer, event_id)
        SELECT :consumer, id FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
        ON CONFLICT DO NOTHING RETURNING event_id
    )
    SELECT now(), array(SELECT event_id FROM fresh)
    """
)
PRUNE = deletion("inbox", f"processed_at < now() - make_interval(days => {KEPT_DAYS})")


async def take_in(connection: AsyncConnection, consumer: str, ids: Sequence[UUID]) -> tuple[datetime, set[UUID]]:
    """Records the ids and returns the transaction's time and the new ids. Of two transactions that record the same id,
    the second waits for the first and finds the id if the first is committed."""
    now, fresh = (await connection.execute(TAKE_IN, {"consumer": consumer, "ids": list(set(ids))})).one()
    return now, set(fresh)
