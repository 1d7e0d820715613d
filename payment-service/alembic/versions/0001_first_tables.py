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
        CREATE TABLE payments (
            id uuid PRIMARY KEY,
            order_id uuid NOT NULL UNIQUE,
            customer_id uuid NOT NULL,
            amount numeric(12, 2),
            currency text,
            status text NOT NULL CONSTRAINT payments_status CHECK (status IN (
                'pending', 'processing', 'completed', 'failed', 'cancelled', 'refunding', 'refunded', 'void')),
            reason text,
            attempts integer NOT NULL DEFAULT 0,
            charge_number integer NOT NULL DEFAULT 1,
            outcome_unknown boolean NOT NULL DEFAULT false,
            waits integer NOT NULL DEFAULT 0,
            undone_reason text,
            due_at timestamptz,
            lease uuid,
            expires_at timestamptz NOT NULL,
            traceparent text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX payments_due_at ON payments (due_at) WHERE due_at IS NOT NULL")
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
    for table in ("outbox", "inbox", "payments"):
        op.execute(f"DROP TABLE {table}")
