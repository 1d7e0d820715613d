"""Runs a service's Alembic history, for its env.py. Each service has its own schema, roles and history.

Whoever migrates switches to the schema's owner: an administrator, who also creates the roles and the schema if they
don't exist, or a login of `migrator`. All migrations take the same advisory lock, so they may run at the same time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.util import CommandError
from chassis.postgres.database import make_engine
from chassis.postgres.roles import owner_of, prepare
from sqlalchemy import Connection, MetaData, make_url, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

_LOCK = 0x6F726465725F6462  # "order_db"
_WAITS_SECONDS = 5
"""For a lock on a table. What needs it too waits behind the migration, so it must not wait for a backup to end."""


def run(metadata: MetaData, schema: str, url: str, *, logins: str = "", production: bool = False) -> None:
    """Brings the schema to the revision asked for. The users of the URLs in `logins` get the URLs' passwords."""
    asyncio.run(_run(metadata, schema, url, logins, production))


async def _run(metadata: MetaData, schema: str, url: str, logins: str, production: bool) -> None:
    if production and await _default_password_works(url, schema):
        raise CommandError(
            f"The role {schema} has its default password, which everybody knows: end it by ALTER ROLE {schema} NOLOGIN."
        )
    async with _connection(url, schema) as connection:
        try:
            await connection.run_sync(_migrate, metadata, schema, logins, production)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03":
                raise
            raise CommandError(
                f"A table of the schema {schema} was in use for {_WAITS_SECONDS} s, by a backup or a long query"
                " (pg_stat_activity has it), and nothing may wait behind a migration: run it again later."
            ) from None


@asynccontextmanager
async def _connection(url: str, schema: str) -> AsyncIterator[AsyncConnection]:
    settings = {"server_settings": {"search_path": schema}, "timeout": 10}
    engine = make_engine(lambda: url, poolclass=pool.NullPool, connect_args=settings)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def _default_password_works(url: str, role: str) -> bool:
    try:
        async with _connection(make_url(url).set(username=role, password=role).render_as_string(False), role):
            return True
    except (DBAPIError, OSError):
        return False


def _migrate(connection: Connection, metadata: MetaData, schema: str, logins: str, production: bool) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
    connection.execute(text(f"SET lock_timeout = '{_WAITS_SECONDS}s'"))
    prepare(connection, schema, logins=logins, production=production)
    connection.execute(text(f"SET ROLE {owner_of(schema)}"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=lambda name, kind, _: name in (None, schema) if kind == "schema" else True,
        compare_server_default=True,
        on_version_apply=_tell,
    )
    _refuse_a_newer_database(schema)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()


def _refuse_a_newer_database(schema: str) -> None:
    """Explains what Alembic would report only as a revision that it can't locate."""
    known = {script.revision for script in context.script.walk_revisions()}
    if unknown := set(context.get_context().get_current_heads()) - known:
        raise CommandError(
            f"The schema {schema} is at revision {', '.join(sorted(unknown))}, which this code does not know: the"
            " database belongs to a newer version. Run that version, or downgrade the schema with it first."
        )


def _tell(ctx: MigrationContext, step: MigrationInfo, heads: object, run_args: object) -> None:
    print(f"{'up' if step.is_upgrade else 'down'} to {', '.join(step.destination_revision_ids) or 'nothing'}")
