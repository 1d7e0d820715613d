"""The pool, on a real database."""

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from chassis.ports.errors import Conflict, Unavailable, is_outage
from chassis.postgres.database import Database, is_conflict
from chassis.testing import eventually
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
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


OUTAGES = (
    *("08006", "53300", "57P01", "57P03", "58030"),  # no connection, too many, shutting down, starting, no disk
    *("25006", "25P03", "28000", "28P01", "3D000", "3F000"),  # read-only, idle too long, not (yet) let in or made
    *("42P01", "42703", "42501"),  # not migrated yet
)
CONFLICTS = ("40001", "40P01", "55P03")
THE_STATEMENTS_OWN_FAULT = ("23505", "22P02", "42601", "57014", "P0001")


@pytest.mark.parametrize("code", [*OUTAGES, *CONFLICTS, *THE_STATEMENTS_OWN_FAULT])
async def test_what_the_server_says_is_not_now_or_lost_or_never(database: Database, code: str) -> None:
    with pytest.raises(DBAPIError) as raised:
        async with database.autocommit() as connection:
            await connection.execute(text(f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{code}'; END $$"))
    assert (is_outage(raised.value), is_conflict(raised.value)) == (code in OUTAGES, code in CONFLICTS)


@pytest.mark.parametrize("error", [Unavailable(""), TimeoutError(), PoolTimeoutError(), ConnectionResetError()])
def test_what_has_no_answer_is_an_outage(error: Exception) -> None:
    assert is_outage(error)
    assert not is_conflict(error)


def test_an_error_of_ones_own_is_neither() -> None:
    assert not is_outage(ValueError())
    assert not is_conflict(ValueError())
    assert is_conflict(Conflict())
    assert not is_outage(Conflict())


async def test_a_session_that_the_server_ends_is_an_outage(database: Database, observer: asyncpg.Connection) -> None:
    connection = await database.connect()
    await observer.execute("SELECT pg_terminate_backend($1)", (await connection.execute(_PID)).scalar_one())
    with pytest.raises(DBAPIError) as raised:
        await connection.execute(_PID)
    assert is_outage(raised.value)
    await connection.close()
    async with database.autocommit() as another:
        assert (await another.execute(_PID)).scalar_one()


async def test_a_statement_that_a_migration_made_stale_can_be_run_again(
    database: Database, observer: asyncpg.Connection
) -> None:
    async def read() -> None:
        async with database.engine.begin() as connection:
            await connection.execute(text("SELECT * FROM notes"))

    await read()
    await observer.execute("ALTER TABLE notes ADD COLUMN more int")
    with pytest.raises(DBAPIError) as raised:
        await read()
    assert is_conflict(raised.value)
    await read()


async def test_a_single_statement_without_an_answer_makes_the_pool_anew(database: Database) -> None:
    async def pid(*, fails: bool = False) -> int:
        async with database.autocommit() as connection:
            if fails:
                raise TimeoutError
            return int((await connection.execute(_PID)).scalar_one())

    before = await pid()
    assert await pid() == before
    with pytest.raises(TimeoutError):
        await pid(fails=True)
    assert await pid() != before


async def test_a_session_gives_up_a_transaction_that_nobody_ends_and_finds_rows_by_keys(database: Database) -> None:
    async with database.autocommit() as connection:
        for name, value in (
            ("idle_in_transaction_session_timeout", "30s"),
            ("application_name", SERVICE),
            ("search_path", "public"),
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("jit", "off"),
        ):
            assert (await connection.execute(text(f"SHOW {name}"))).scalar_one() == value, name
