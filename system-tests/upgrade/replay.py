"""Loads a recording into servers of today, which are then as the earlier version left them a moment ago.

Nothing here knows a table or a queue by name: later versions rename them, and the recording has its own.
"""

from collections import defaultdict
from datetime import timedelta

import aio_pika
import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
from aio_pika.abc import AbstractChannel

from operations import restore
from system import System, management_url
from upgrade.recording import TIME, Recording, Waiting, shifted

COLUMNS = """
    SELECT format('%I.%I', table_schema, table_name) AS table, quote_ident(column_name) AS column, data_type AS type
    FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'
"""


async def load(system: System, recording: Recording) -> None:
    """Into the system's database, which is replaced, and its vhost, which must be empty. Its services must not run."""
    await load_database(system.database_url, recording)
    await load_broker(system, recording)


async def load_database(database_url: str, recording: Recording) -> None:
    await restore.load(database_url, recording.dump)
    replaced = await restore.swap(database_url)
    async with restore.server(database_url) as connection:
        await connection.execute(f'DROP DATABASE "{replaced}" WITH (FORCE)')
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        async with connection.transaction():
            await _shift(connection, recording.shift)
    finally:
        await connection.close()


async def _shift(connection: asyncpg.Connection, by: timedelta) -> None:
    """Moves every time in the database: in columns of times, and in those of text and JSON that name any."""
    times, texts = defaultdict(list), []
    for table, column, kind in await connection.fetch(COLUMNS):
        if kind == "timestamp with time zone":
            times[table].append(f"{column} = {column} + $1")
        elif kind in ("text", "json", "jsonb"):
            texts.append((table, column, kind))
    for table, changes in times.items():
        await connection.execute(f"UPDATE {table} SET {', '.join(changes)}", by)
    for table, column, kind in texts:
        query = f"SELECT ctid::text, {column}::text FROM {table} WHERE {column}::text ~ $1"
        found = [(row, shifted(text, by)) for row, text in await connection.fetch(query, TIME)]
        # A row's place changes with the row, and no other row takes it within the transaction.
        change = f"UPDATE {table} SET {column} = $2::text::{kind} WHERE ctid = $1::text::tid"
        await connection.executemany(change, found)


async def load_broker(system: System, recording: Recording) -> None:
    async with httpx.AsyncClient(base_url=management_url(), timeout=30) as client:
        answer = await client.post(f"/api/definitions/{system.vhost}", json=recording.topology)
        answer.raise_for_status()
    async with await aio_pika.connect(system.rabbitmq_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        for waiting in recording.messages:
            await publish(channel, waiting)


async def publish(channel: AbstractChannel, waiting: Waiting) -> None:
    """To its queue and no other, through an exchange of its own: the message keeps its routing key."""
    exchange = await channel.declare_exchange("replay", aio_pika.ExchangeType.FANOUT, auto_delete=True)
    queue = await channel.get_queue(waiting.queue, ensure=False)
    await queue.bind(exchange)
    await exchange.publish(waiting.message, waiting.routing_key)
    await queue.unbind(exchange)  # which deletes the exchange
