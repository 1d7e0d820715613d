"""Alembic's entry point: everything it does is in the chassis, and the same for every service."""

from chassis.postgres.migrations import run
from chassis.runtime.settings import PostgresSettings, load

from infrastructure.tables import SCHEMA, metadata

run(metadata, SCHEMA, load(PostgresSettings).database_url)
