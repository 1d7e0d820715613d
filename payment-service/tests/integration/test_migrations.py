from chassis.testing.migrations import MigrationRules

from infrastructure.tables import SCHEMA, metadata


class TestMigrations(MigrationRules):
    schema = SCHEMA
    metadata = metadata
