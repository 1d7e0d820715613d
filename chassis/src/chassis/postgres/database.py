"""Connections to PostgreSQL, and the translation of its errors."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlencode

import orjson
import structlog
from chassis.ports.errors import Conflict, Interrupted, Unavailable, reason_of
from sqlalchemy import event, make_url, text
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

# SQLSTATE classes and codes (PostgreSQL, appendix A) after which another attempt can succeed: the server is away,
# starting, stopping, full or read-only, or the schema isn't migrated yet.
_OUTAGE_CLASSES = ("08", "53", "57P", "58")
_OUTAGE_CODES = ("25006", "25P03", "28000", "28P01", "3D000", "3F000", "42P01", "42703", "42501")
_CONFLICT_CODES = ("40001", "40P01", "55P03")
_NO_TABLES = ("42P01", "3F000")
_MIGRATE = "the schema lacks its tables: run `alembic upgrade head` first"

# Statements find their rows by keys, even in tables that the planner still believes to be small. They share a generic
# plan: for a batch of one, planning costs more than a better plan could save.
_PLANNING = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}

_LIBPQ_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")

CLOSED_WITHIN_SECONDS = 3.0

log = structlog.get_logger()


def _in_our_words(context: ExceptionContext) -> BaseException | None:
    """Interrupted, Conflict, or None for a mistake of ours, which stays a DBAPIError."""
    error = context.sqlalchemy_exception
    if not isinstance(error, DBAPIError):
        return None
    code = str(getattr(error.orig, "sqlstate", None) or "")
    # InvalidCachedStatementError: a migration has changed the table since the statement was prepared.
    if code in _CONFLICT_CODES or type(error.orig).__name__ == "InvalidCachedStatementError":
        return Conflict(reason_of(error))
    if code in _NO_TABLES:
        return Interrupted(_MIGRATE)
    lost = context.is_disconnect or isinstance(error, InterfaceError)
    if lost or code.startswith(_OUTAGE_CLASSES) or code in _OUTAGE_CODES:
        return Interrupted(reason_of(error))
    return None


def make_engine(url: Callable[[], str], **options: Any) -> AsyncEngine:
    """An engine that reads the URL, and the certificates that the URL names, anew for each connection. Each entry of
    its pool has the URL of its connection as `info["url"]`."""
    engine = create_async_engine("postgresql+asyncpg://", **options)

    @event.listens_for(engine.sync_engine, "do_connect")
    def read(dialect: Dialect, entry: ConnectionPoolEntry, _: object, arguments: dict[str, Any]) -> None:
        entry.info["url"] = url()
        parsed = make_url(entry.info["url"])
        tls = {name: value for name, value in parsed.query.items() if name in _LIBPQ_TLS}
        arguments |= dialect.create_connect_args(parsed.difference_update_query(tls))[1]
        arguments["dsn"] = f"postgresql://?{urlencode(tls)}"  # asyncpg takes libpq's names only in a DSN

    return engine


class Database:
    """The connection pool of one service; every connection's search_path is the service's schema."""

    def __init__(self, url: Callable[[], str], *, pool_size: int, service: str, schema: str) -> None:
        self.schema = schema
        self._url = url
        self.engine = make_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            pool_use_lifo=True,
            json_deserializer=orjson.loads,
            hide_parameters=True,  # in tracebacks and in the statements of LOG_LEVEL=DEBUG: they hold customers' data
            connect_args={
                "timeout": 5,
                "command_timeout": 10,
                "server_settings": {
                    "search_path": schema,
                    "application_name": service,
                    "idle_in_transaction_session_timeout": "30s",
                    **_PLANNING,
                },
            },
        )
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        event.listen(self.engine.sync_engine, "connect", self._on_connect)
        event.listen(self.engine.sync_engine, "checkout", self._on_checkout)
        event.listen(self.engine.sync_engine, "handle_error", _in_our_words, retval=True)
        self._generation = 0
        self._away = False

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which each statement is a transaction of its own."""
        connection = await self.connect(self._autocommit)
        try:
            yield connection
        except TimeoutError:
            self.distrust()
            raise
        finally:
            await connection.close()

    def distrust(self) -> None:
        """Has each connection replaced at its next use: one without an answer may mean a failover that cut them all."""
        self._generation += 1

    def _on_connect(self, _: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        entry.info["generation"] = self._generation

    def _on_checkout(self, connection: DBAPIConnection, entry: ConnectionPoolEntry, _: PoolProxiedConnection) -> None:
        if (entry.info["generation"], entry.info["url"]) != (self._generation, self._url()):
            connection.driver_connection.terminate()  # an orderly close would wait for a server that is gone
            raise DisconnectionError

    async def connect(self, engine: AsyncEngine | None = None) -> AsyncConnection:
        """A connection, which the caller closes. Raises Unavailable if the pool can't provide one."""
        try:
            connection = await (engine or self.engine).connect()
        except PoolTimeoutError:
            raise Unavailable("all connections to the database are busy") from None
        except Exception as error:
            if not self._away:
                log.warning("database away, trying again until it is back", reason=reason_of(error))
            self._away = True
            raise Unavailable(f"the database is away: {reason_of(error)}") from error
        if self._away:
            log.info("the database is back")
        self._away = False
        return connection

    async def problem(self) -> str | None:
        """Why the schema can't be read, or None; takes 3 s at most."""
        try:
            async with asyncio.timeout(3), self.autocommit() as connection:
                await connection.execute(text("SELECT 1 FROM inbox LIMIT 1"))
        except Exception as error:
            return _MIGRATE if str(error) == _MIGRATE else "the database does not answer; the log says why"
        return None

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        """Closes the idle connections; gives up on a server that no longer answers."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSED_WITHIN_SECONDS):
                await self.engine.dispose()
