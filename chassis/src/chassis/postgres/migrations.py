"""Runs a service's Alembic history, for its env.py. Each service has its own schema, role and history.

Runs as an administrator and creates the role and the schema if they don't exist. Migrations may run at the same time,
because all of them take the same advisory lock.
"""

import asyncio

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

_LOCK = 0x6F726465725F6462  # "order_db"
# The services' schemas: each belongs to a role of the same name.
_SCHEMAS = """
    SELECT string_agg(quote_ident(nspname), ', ' ORDER BY nspname)
    FROM pg_namespace JOIN pg_roles ON pg_roles.oid = nspowner WHERE rolname = nspname
"""


def run(metadata: MetaData, schema: str, url: str) -> None:
    """Brings the schema, which a role of the same name owns, to the revision that Alembic was called for."""
    asyncio.run(_run(metadata, schema, url))


async def _run(metadata: MetaData, schema: str, url: str) -> None:
    engine = create_async_engine(
        url, poolclass=pool.NullPool, connect_args={"server_settings": {"search_path": schema}, "timeout": 10}
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate, metadata, schema)
    finally:
        await engine.dispose()


def _migrate(connection: Connection, metadata: MetaData, schema: str) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
    _make_role_and_schema(connection, schema)
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
        connection.execute(text(f"SET LOCAL ROLE {schema}"))
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


def _make_role_and_schema(connection: Connection, schema: str) -> None:
    def missing(query: str) -> bool:
        return connection.execute(text(query), {"name": schema}).first() is None

    if missing("SELECT 1 FROM pg_roles WHERE rolname = :name"):
        # To choose another password, create the role beforehand: an existing role stays as it is.
        _create_role(connection, f"{schema} LOGIN PASSWORD '{schema}'")
    if missing("SELECT 1 FROM pg_roles WHERE rolname = 'auditor'"):
        _create_role(connection, "auditor NOLOGIN")
    # Since PostgreSQL 16 the creator of a role is a member of it but may not act as it yet.
    may = "'SET'" if (connection.dialect.server_version_info or ()) >= (16,) else "'MEMBER'"
    if missing(f"SELECT 1 WHERE pg_has_role(current_user, :name, {may})"):
        connection.execute(text(f"GRANT {schema} TO CURRENT_USER"))
    if missing("SELECT 1 FROM pg_namespace WHERE nspname = :name"):
        connection.execute(text(f"CREATE SCHEMA {schema} AUTHORIZATION {schema}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO auditor"))
        connection.execute(
            text(f"ALTER DEFAULT PRIVILEGES FOR ROLE {schema} IN SCHEMA {schema} GRANT SELECT ON TABLES TO auditor")
        )
    database = connection.execute(text("SELECT quote_ident(current_database())")).scalar_one()
    schemas = connection.execute(text(_SCHEMAS)).scalar_one()
    connection.execute(text(f"ALTER DATABASE {database} SET search_path = {schemas}, public"))  # for people, in psql


def _create_role(connection: Connection, role: str) -> None:
    """Roles belong to the cluster but the lock to one database, so another database's migration may come first."""
    connection.execute(
        text(f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$")
    )
