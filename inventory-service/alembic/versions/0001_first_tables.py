"""The first tables.

Revision: 0001.
"""

from alembic import op
from chassis.postgres.inbox import CREATE_INBOX_1
from chassis.postgres.outbox import CREATE_OUTBOX_1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE inventory_items (
            id uuid PRIMARY KEY,
            product_id uuid NOT NULL UNIQUE,
            quantity_available bigint NOT NULL CONSTRAINT inventory_items_available CHECK (quantity_available >= 0),
            reserved_quantity bigint NOT NULL CONSTRAINT inventory_items_reserved CHECK (reserved_quantity >= 0),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000)
        """
    )
    op.execute(
        """
        CREATE TABLE holds (
            order_id uuid PRIMARY KEY,
            customer_id uuid NOT NULL,
            status text NOT NULL CONSTRAINT holds_status
                CHECK (status IN ('held', 'sold', 'released', 'refused', 'void')),
            reason text,
            items jsonb,
            total_amount numeric(12, 2),
            currency text,
            expires_at timestamptz NOT NULL,
            due_at timestamptz,
            reminders integer NOT NULL DEFAULT 0,
            traceparent text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX holds_due_at ON holds (due_at) WHERE due_at IS NOT NULL")
    for statement in (*CREATE_INBOX_1, *CREATE_OUTBOX_1):
        op.execute(statement)


def downgrade() -> None:
    for table in ("outbox", "inbox", "holds", "inventory_items"):
        op.execute(f"DROP TABLE {table}")
