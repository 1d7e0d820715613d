"""The transactional outbox: an event is committed with its cause, and deleted once the broker has confirmed it."""

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from chassis.ports.events import Outgoing
from chassis.postgres.database import Database
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LEFT_BEHIND_AFTER_SECONDS = 5

CREATE_OUTBOX_1 = (
    """
    CREATE TABLE outbox (
        id uuid PRIMARY KEY,
        type text NOT NULL,
        routing_key text NOT NULL,
        order_id text NOT NULL,
        body text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)
    """,
)
"""For the services' migrations, as CREATE_INBOX_1 is. Rows live for moments only, so the table is vacuumed often."""

_SWEEPER_LOCK = 0x6F7574626F78  # "outbox"; paired with the schema's hash, so that each service has its own

INSERT = text(
    """
    INSERT INTO outbox (id, type, routing_key, order_id, body)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:keys AS text[]),
                         CAST(:order_ids AS text[]), CAST(:bodies AS text[]))
    """
)
DELETE = text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS uuid[]))")
LEFT_BEHIND = text(
    """
    SELECT id, type, routing_key, order_id, body FROM outbox
    WHERE created_at < now() - make_interval(secs => :age) AND id > :after ORDER BY id LIMIT 1000
    """
)
BACKLOG = text(
    """
    SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)
    FROM (SELECT created_at FROM outbox ORDER BY id LIMIT 10001) AS oldest
    """
)
TRY_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended(:schema, :lock))")
UNLOCK = text("SELECT pg_advisory_unlock(hashtextextended(:schema, :lock))")


async def insert_into_outbox(connection: AsyncConnection, events: Sequence[Outgoing]) -> None:
    """Adds the rows to the transaction at hand."""
    await connection.execute(
        INSERT,
        {
            "ids": [event.id for event in events],
            "types": [event.type for event in events],
            "keys": [event.routing_key for event in events],
            "order_ids": [event.order_id for event in events],
            "bodies": [event.body.decode() for event in events],
        },
    )


class OutboxRows:
    """The committed rows, for the publisher."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete(self, ids: Sequence[UUID]) -> None:
        async with self._database.autocommit() as connection:
            await connection.execute(DELETE, {"ids": ids})

    async def backlog(self) -> tuple[int, float]:
        """How many events wait (at most 10,001 are counted), and the age of the oldest in seconds."""
        async with self._database.autocommit() as connection:
            waiting, age = (await connection.execute(BACKLOG)).one()
            return waiting, float(age)

    async def left_behind(self) -> AsyncGenerator[list[Outgoing], None]:
        """The events that have waited for LEFT_BEHIND_AFTER_SECONDS, 1,000 at a time; none while another process of the
        service sweeps. No row comes twice, so an event that can't be sent doesn't hold up the events behind it."""
        lock = {"schema": self._database.schema, "lock": _SWEEPER_LOCK}
        async with self._database.autocommit() as connection:
            try:
                if not (await connection.execute(TRY_LOCK, lock)).scalar_one():
                    return
                after = UUID(int=0)
                while rows := (
                    await connection.execute(LEFT_BEHIND, {"age": LEFT_BEHIND_AFTER_SECONDS, "after": after})
                ).all():
                    after = rows[-1].id
                    yield [Outgoing(row.id, row.type, row.routing_key, row.order_id, row.body.encode()) for row in rows]
                await connection.execute(UNLOCK, lock)
            except GeneratorExit:
                await connection.execute(UNLOCK, lock)
                raise
            except BaseException:
                await connection.invalidate()  # ends the lock too, if this process has it
                raise
