"""Alembic's entry point: everything it does is in the chassis, and the same for every service."""

from chassis.postgres.migrations import run

from infrastructure.tables import SCHEMA, metadata

run(metadata, SCHEMA)
