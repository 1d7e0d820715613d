"""Stock changes by a difference, once for each idempotency key, and is set on the condition that nobody else has.

Revision: 0007, after 0006. The version before counts no revisions: until it is replaced, If-Match doesn't notice what
it sets. The default is for its rows.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE inventory_items ADD COLUMN revision bigint NOT NULL DEFAULT 1")
    op.execute(
        """
        CREATE TABLE stock_changes (
            id uuid PRIMARY KEY,
            product_id uuid NOT NULL,
            difference bigint NOT NULL,
            quantity_available bigint NOT NULL,
            created_at timestamptz NOT NULL,
            due_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX stock_changes_due_at ON stock_changes (due_at)")
    op.execute(
        """
        CREATE TABLE idempotency_keys (
            caller text,
            key text,
            request_fingerprint bytea NOT NULL,
            resource_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (caller, key)
        )
        """
    )
    op.execute("CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)")


def downgrade() -> None:
    """The keys are lost: a change repeated after it is made again."""
    op.execute("DROP TABLE idempotency_keys")
    op.execute("DROP TABLE stock_changes")
    op.execute("ALTER TABLE inventory_items DROP COLUMN revision")
