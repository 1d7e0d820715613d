"""The pool, on a real database."""

import asyncpg  # type: ignore[import-untyped]  # it ships none
from chassis.database import Database
from chassis.testing import eventually
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.note_service import SERVICE

_PID = text("SELECT pg_backend_pid()")


async def taken(database: Database, number: int) -> list[tuple[AsyncConnection, int]]:
    connections = [await database.connect() for _ in range(number)]
    return [(connection, (await connection.execute(_PID)).scalar_one()) for connection in connections]


async def test_a_distrusted_pool_makes_its_connections_anew_and_leaves_no_session_behind(
    database: Database, database_url: str
) -> None:
    (busy, busy_pid), *idle = await taken(database, 4)
    for connection, _ in idle:
        await connection.close()
    database.distrust()
    await busy.close()

    again = await taken(database, 4)
    pids = {pid for _, pid in again}
    assert pids.isdisjoint({busy_pid, *(pid for _, pid in idle)})
    for connection, _ in again:
        await connection.close()

    observer = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    sessions = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"

    async def only_those() -> bool:
        return {row["pid"] for row in await observer.fetch(sessions, SERVICE)} == pids

    await eventually(only_those)
    await observer.close()
