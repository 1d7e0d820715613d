"""Alembic's entry point: everything it does is in the chassis, and the same for every service."""

from chassis.postgres.migrations import run
from chassis.runtime.settings import MigrationSettings, load

from infrastructure.tables import SCHEMA, metadata

settings = load(MigrationSettings)
run(metadata, SCHEMA, settings.database_url, logins=settings.database_logins, production=settings.in_production)
