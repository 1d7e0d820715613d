"""The transactional outbox: events are rows until the broker has confirmed them.

The process that committed them sends them at once from memory and deletes the confirmed rows in batches. What a crash
or an outage leaves behind is sent by the sweeper, of which each service has one at a time, by advisory lock.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from uuid import UUID

import structlog
from chassis.broker import Broker
from chassis.database import Database, reason_of
from chassis.events import Outgoing, join
from chassis.telemetry import EVENTS_PUBLISHED, MESSAGES_PUBLISHED, OUTBOX_AGE_SECONDS, OUTBOX_BACKLOG
from sqlalchemy import Column, DateTime, MetaData, Table, Text, Uuid, func, text
from sqlalchemy.ext.asyncio import AsyncConnection

MAX_EVENTS_A_MESSAGE = 100
MAX_MESSAGE_BYTES = 128 * 1024
MAX_EVENTS_IN_MEMORY = 2_000
"""Seconds' worth of events: while the broker takes none they are rows, not memory."""
SWEEP_EVERY_SECONDS = 5.0
DELETE_EVERY_SECONDS = 0.5
"""The longer, the fewer transactions, and the more events that a crash has sent twice."""
LEFT_BEHIND_AFTER_SECONDS = 5
STUCK_AFTER_SECONDS = 20

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
"""For the services' migrations, as CREATE_INBOX_1 is. Each row is deleted within moments, so its dead rows are cleared
early and often."""

_SWEEPER_LOCK = 0x6F7574626F78  # "outbox"; paired with the schema's hash, so that each service has its own

_INSERT = text(
    """
    INSERT INTO outbox (id, type, routing_key, order_id, body)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:keys AS text[]),
                         CAST(:order_ids AS text[]), CAST(:bodies AS text[]))
    """
)
_DELETE = text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS uuid[]))")
_LEFT_BEHIND = text(
    """
    SELECT id, type, routing_key, order_id, body FROM outbox
    WHERE created_at < now() - make_interval(secs => :age) AND id > :after ORDER BY id LIMIT 1000
    """
)
_BACKLOG = text(
    """
    SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)
    FROM (SELECT created_at FROM outbox ORDER BY id LIMIT 10001) AS oldest
    """
)
_TRY_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended(:schema, :lock))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtextextended(:schema, :lock))")

log = structlog.get_logger()


def outbox_table(metadata: MetaData) -> Table:
    return Table(
        "outbox",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("type", Text, nullable=False),
        Column("routing_key", Text, nullable=False),
        Column("order_id", Text, nullable=False),
        Column("body", Text, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


async def insert_into_outbox(connection: AsyncConnection, events: Sequence[Outgoing]) -> None:
    """Adds the rows to the transaction at hand."""
    await connection.execute(
        _INSERT,
        {
            "ids": [event.id for event in events],
            "types": [event.type for event in events],
            "keys": [event.routing_key for event in events],
            "order_ids": [event.order_id for event in events],
            "bodies": [event.body.decode() for event in events],
        },
    )


def coalesce(events: Iterable[Outgoing]) -> list[list[Outgoing]]:
    """The events in as few messages as the limits on one message allow, each of a single routing key."""
    messages: list[list[Outgoing]] = []
    for _, same_key in groupby(sorted(events, key=_routing_key), key=_routing_key):
        size = MAX_MESSAGE_BYTES
        for event in same_key:
            size += len(event.body) + 1
            if size > MAX_MESSAGE_BYTES or len(messages[-1]) == MAX_EVENTS_A_MESSAGE:
                messages.append([])
                size = len(event.body) + 2
            messages[-1].append(event)
    return messages


def _routing_key(event: Outgoing) -> str:
    return event.routing_key


class Outbox:
    """Sends what was committed. `send` never waits and never raises: the rows are the truth, memory is the fast way."""

    def __init__(self, database: Database, broker: Broker) -> None:
        self._database = database
        self._broker = broker
        self._sending: set[UUID] = set()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._confirmed: list[UUID] = []
        self._deleter: asyncio.Task[None] | None = None
        self._oldest_age = 0.0
        self._waiting = 0

    @property
    def takes_repeats(self) -> bool:
        """Whether there is any use in saying something again: not while the broker is away, nor while it is there and
        takes nothing, for then what was said first still waits here."""
        return self._broker.connected and not (
            self._oldest_age > STUCK_AFTER_SECONDS and self._waiting > MAX_EVENTS_IN_MEMORY
        )

    def send(self, events: Sequence[Outgoing]) -> None:
        """Publishes committed events in the background; what fails, or is too much for memory, is left to the sweep."""
        if not self._broker.connected or len(self._sending) + len(events) > MAX_EVENTS_IN_MEMORY:
            return
        for message in coalesce(events):
            self._sending.update(event.id for event in message)
            task = asyncio.create_task(self._publish(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _publish(self, message: list[Outgoing]) -> bool:
        """Returns whether the broker has answered, be it to refuse the message."""
        began = time.perf_counter()
        try:
            body, content_type = join([event.body for event in message])
            await self._broker.publish(message[0].routing_key, body, content_type)
        except Exception as error:
            reason = reason_of(error)
            log.warning("not published, kept in the outbox", type=message[0].type, events=len(message), reason=reason)
            return not isinstance(error.__cause__, TimeoutError)
        finally:
            self._sending.difference_update(event.id for event in message)
        self._delete_soon([event.id for event in message])
        MESSAGES_PUBLISHED.inc()
        EVENTS_PUBLISHED.labels(message[0].type).inc(len(message))
        if log.is_enabled_for(logging.DEBUG):
            for event in message:
                log.debug("event published", type=event.type, event_id=str(event.id), order=event.order_id)
        log.info(
            "published",
            type=message[0].type,
            events=len(message),
            orders=[event.order_id for event in message],
            ms=round((time.perf_counter() - began) * 1000, 1),
        )
        return True

    def _delete_soon(self, ids: list[UUID]) -> None:
        self._confirmed += ids
        if self._deleter is None or self._deleter.done():
            self._deleter = asyncio.create_task(self._delete_confirmed())

    async def _delete_confirmed(self) -> None:
        """Deletes together what was confirmed in the last moment: a row that waits costs nothing."""
        while self._confirmed:
            await asyncio.sleep(DELETE_EVERY_SECONDS)
            await self._delete()

    async def _delete(self) -> None:
        ids, self._confirmed = self._confirmed, []
        if not ids:
            return
        try:
            async with self._database.autocommit() as connection:
                await connection.execute(_DELETE, {"ids": ids})
        except Exception as error:  # the sweep sends them once more, and the inboxes know them
            log.warning("published events not deleted yet", events=len(ids), reason=reason_of(error))

    async def sweep(self) -> None:
        """Sends what was left behind and measures the backlog. Run every SWEEP_EVERY_SECONDS and after a reconnect."""
        lock = {"schema": self._database.schema, "lock": _SWEEPER_LOCK}
        async with self._database.autocommit() as connection:
            backlog, age = (await connection.execute(_BACKLOG)).one()
            OUTBOX_BACKLOG.set(backlog)
            OUTBOX_AGE_SECONDS.set(age)
            self._oldest_age, self._waiting = float(age), backlog
            if age < LEFT_BEHIND_AFTER_SECONDS or not self._broker.connected:
                return
            try:
                if (await connection.execute(_TRY_LOCK, lock)).scalar_one():
                    await self._send_left_behind(connection)
                    await connection.execute(_UNLOCK, lock)
            except BaseException:
                await connection.invalidate()  # the lock, which may be ours, ends with its connection
                raise

    async def _send_left_behind(self, connection: AsyncConnection) -> None:
        after = UUID(int=0)  # within one sweep only: a row that can't be sent must not hold up those behind it
        while rows := (
            await connection.execute(_LEFT_BEHIND, {"age": LEFT_BEHIND_AFTER_SECONDS, "after": after})
        ).all():
            after = rows[-1].id
            events = [
                Outgoing(row.id, row.type, row.routing_key, row.order_id, row.body.encode())
                for row in rows
                if row.id not in self._sending
            ]
            answered = await asyncio.gather(*(self._publish(message) for message in coalesce(events)))
            await self._delete()  # before another replica may sweep
            if not self._broker.connected or (answered and not any(answered)):
                return

    async def problem(self) -> str | None:
        """None, or why the outbox is stuck, as of the last sweep (which is a job, and watched as such)."""
        if self._oldest_age > STUCK_AFTER_SECONDS:
            return f"an event has waited {self._oldest_age:.0f} s to be published"
        return None

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        """Waits for the confirmations under way and deletes their rows."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)
        if self._deleter is not None:
            await self._deleter
