"""The pool, and what the errors of a database mean, on a real one."""

import traceback
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from asyncpg.exceptions import InvalidCachedStatementError  # type: ignore[import-untyped]
from chassis.ports.errors import Conflict, Interrupted, Rejected, Unavailable, is_outage, reason_of
from chassis.postgres import database as database_module
from chassis.postgres.database import Database
from chassis.testing import eventually
from sqlalchemy import text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, InterfaceError
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


async def test_each_connection_is_replaced_before_its_next_use_once_the_url_is_another(
    database_url: str, observer: asyncpg.Connection
) -> None:
    url = database_url
    database = Database(lambda: url, pool_size=2, service="a-service", schema="public")
    (busy, busy_pid), (idle, idle_pid) = await taken(database, 2)
    await idle.close()
    url = f"{database_url}?sslmode=prefer"

    assert (await busy.execute(_PID)).scalar_one() == busy_pid, "a transaction ends where it began"
    await busy.close()
    again = await taken(database, 2)
    assert {pid for _, pid in again}.isdisjoint({busy_pid, idle_pid})
    for connection, _ in again:
        await connection.close()
    (connection, pid), *_ = await taken(database, 1)
    assert pid in {pid for _, pid in again}, "once is enough"
    await connection.close()
    await database.stop()


def test_a_distrusted_connection_is_cut_for_a_server_that_is_gone_takes_part_in_no_orderly_end(
    database: Database,
) -> None:
    cut: list[str] = []
    connection = SimpleNamespace(driver_connection=SimpleNamespace(terminate=lambda: cut.append("cut")))
    entry = SimpleNamespace(info={"url": database._url()})
    database._on_connect(cast(Any, connection), cast(Any, entry))
    database._on_checkout(cast(Any, connection), cast(Any, entry), cast(Any, None))
    database.distrust()
    with pytest.raises(DisconnectionError):
        database._on_checkout(cast(Any, connection), cast(Any, entry), cast(Any, None))
    assert cut == ["cut"]


OUTAGES = (
    *("08006", "53300", "57P01", "57P03", "58030"),  # no connection, too many, shutting down, starting, no disk
    *("25006", "25P03", "28000", "28P01", "3D000", "3F000"),  # read-only, idle too long, not (yet) let in or made
    *("42P01", "42703", "42501"),  # not migrated yet
)
CONFLICTS = ("40001", "40P01", "55P03")
THE_STATEMENTS_OWN_FAULT = ("23505", "22P02", "42601", "57014", "P0001")
WITHOUT_TABLES = ("42P01", "3F000")


@pytest.mark.parametrize(
    ("codes", "kind"),
    [(OUTAGES, Interrupted), (CONFLICTS, Conflict), (THE_STATEMENTS_OWN_FAULT, DBAPIError)],
    ids=["not now", "lost", "never"],
)
async def test_what_the_server_says_is_not_now_or_lost_or_never(
    database: Database, codes: Sequence[str], kind: type[Exception]
) -> None:
    for code in codes:
        with pytest.raises((Interrupted, Conflict, DBAPIError)) as raised:
            async with database.autocommit() as connection:
                await connection.execute(text(f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{code}'; END $$"))
        assert isinstance(raised.value, kind), code
        assert is_outage(raised.value) == (kind is Interrupted)
        line = reason_of(raised.value)
        assert (": no" in line) == (code not in WITHOUT_TABLES), line
        assert ("run `alembic upgrade head` first" in line) == (code in WITHOUT_TABLES), line
        assert "BEGIN" not in line, "the statement stays out of logs and health checks"


@pytest.mark.parametrize(
    ("error", "lost", "kind"),
    [
        (InterfaceError("SELECT 1", {}, ValueError("the connection is closed")), False, Interrupted),
        (DBAPIError("SELECT 1", {}, ValueError("the server hung up")), True, Interrupted),
        (DBAPIError("SELECT 1", {}, InvalidCachedStatementError("the table has changed")), False, Conflict),
        (DBAPIError("SELECT 1", {}, ValueError("an argument of another kind")), False, None),
        (ArgumentError("no such column"), False, None),
        (None, False, None),
    ],
)
def test_what_the_driver_says_is_not_now_or_lost_or_stays_as_it_is(
    error: Exception | None, lost: bool, kind: type[Exception] | None
) -> None:
    context = SimpleNamespace(sqlalchemy_exception=error, is_disconnect=lost)
    translated = database_module._in_our_words(cast(ExceptionContext, context))
    assert translated is None if kind is None else type(translated) is kind


@pytest.mark.parametrize("error", [Unavailable(""), Interrupted(""), TimeoutError(), ConnectionResetError()])
def test_what_has_no_answer_is_an_outage(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize("error", [ValueError(), Conflict(), Rejected("a-reason", "")])
def test_a_mistake_a_lost_race_and_a_refusal_are_none(error: Exception) -> None:
    assert not is_outage(error)


def test_a_reason_is_one_line_and_not_too_long() -> None:
    assert reason_of(ValueError("one\ntwo")) == "ValueError: one"
    assert reason_of(Interrupted("one\ntwo")) == "one"
    assert reason_of(Conflict()) == ""
    assert len(reason_of(ValueError("x" * 1000))) == 300


async def test_no_value_gets_into_a_traceback_or_a_log(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sqlalchemy.engine")  # as LOG_LEVEL=DEBUG does
    database = Database(lambda: database_url, pool_size=1, service=SERVICE, schema="public")
    failing = text("SELECT CAST(:customer AS text), 1 / CAST(:zero AS integer)")
    values = {"customer": "Ada Lovelace", "zero": 0}
    with pytest.raises(DBAPIError) as raised:
        async with database.autocommit() as connection:
            await connection.execute(failing, values)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert told.count("1 / CAST(") == 2
    assert "Lovelace" not in told
    await database.stop()


async def test_a_session_that_the_server_ends_is_an_outage(database: Database, observer: asyncpg.Connection) -> None:
    connection = await database.connect()
    await observer.execute("SELECT pg_terminate_backend($1)", (await connection.execute(_PID)).scalar_one())
    with pytest.raises(Interrupted):
        await connection.execute(_PID)
    await connection.close()
    async with database.autocommit() as another:
        assert (await another.execute(_PID)).scalar_one()


async def test_a_transaction_whose_session_the_server_ends_is_interrupted_at_its_commit(
    database: Database, observer: asyncpg.Connection
) -> None:
    connection = await database.connect()
    await observer.execute("SELECT pg_terminate_backend($1)", (await connection.execute(_PID)).scalar_one())
    with pytest.raises(Interrupted):
        await connection.commit()
    await connection.close()


async def test_a_full_pool_and_a_server_that_is_not_there_are_told_apart(database_url: str) -> None:
    small = Database(lambda: database_url, pool_size=1, service=SERVICE, schema="public")
    small.engine.sync_engine.pool._timeout = 0.01  # type: ignore[attr-defined]
    connection = await small.connect()
    with pytest.raises(Unavailable, match="all connections to the database are busy"):
        await small.connect()
    await connection.close()
    await small.stop()

    nowhere = Database(
        lambda: "postgresql+asyncpg://nobody@localhost:1/x", pool_size=1, service=SERVICE, schema="public"
    )
    with pytest.raises(Unavailable, match="the database is away"):
        await nowhere.connect()
    assert await nowhere.problem() == "the database does not answer; the log says why"


async def test_a_schema_without_its_tables_says_what_to_do(database: Database, observer: asyncpg.Connection) -> None:
    assert await database.problem() is None
    await observer.execute("ALTER TABLE inbox RENAME TO elsewhere")
    try:
        assert "run `alembic upgrade head` first" in (await database.problem() or "")
    finally:
        await observer.execute("ALTER TABLE elsewhere RENAME TO inbox")


async def test_a_statement_that_a_migration_made_stale_can_be_run_again(
    database: Database, observer: asyncpg.Connection
) -> None:
    async def read() -> None:
        async with database.engine.begin() as connection:
            await connection.execute(text("SELECT * FROM notes"))

    await read()
    await observer.execute("ALTER TABLE notes ADD COLUMN more int")
    with pytest.raises(Conflict):
        await read()
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
