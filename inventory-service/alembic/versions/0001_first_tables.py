"""The first tables.

Revision: 0001.
"""

from alembic import op

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
    op.execute(
        """
        CREATE TABLE inbox (
            consumer text,
            event_id uuid,
            processed_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (consumer, event_id)
        )
        """
    )
    op.execute("CREATE INDEX inbox_processed_at ON inbox USING brin (processed_at)")
    # Every row of the outbox is deleted within moments, so its dead rows are cleared early and often.
    op.execute(
        """
        CREATE TABLE outbox (
            id uuid PRIMARY KEY,
            type text NOT NULL,
            routing_key text NOT NULL,
            order_id text NOT NULL,
            body text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)
        """
    )


def downgrade() -> None:
    for table in ("outbox", "inbox", "holds", "inventory_items"):
        op.execute(f"DROP TABLE {table}")
