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
        CREATE TABLE orders (
            id uuid PRIMARY KEY,
            customer_id uuid NOT NULL,
            items jsonb NOT NULL,
            total_amount numeric(12, 2) NOT NULL,
            currency text NOT NULL,
            status text NOT NULL CONSTRAINT orders_status
                CHECK (status IN ('pending', 'confirmed', 'completed', 'failed', 'cancelled')),
            reason text,
            timeline jsonb NOT NULL,
            expires_at timestamptz NOT NULL,
            due_at timestamptz,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            traceparent text NOT NULL,
            CONSTRAINT orders_due CHECK ((due_at IS NULL) = (status IN ('completed', 'failed', 'cancelled')))
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX orders_customer ON orders (customer_id, id)")
    op.execute("CREATE INDEX orders_due_at ON orders (due_at) WHERE due_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE idempotency_keys (
            key text PRIMARY KEY,
            fingerprint bytea NOT NULL,
            resource_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)")
    for statement in (*CREATE_INBOX_1, *CREATE_OUTBOX_1):
        op.execute(statement)


def downgrade() -> None:
    for table in ("outbox", "inbox", "idempotency_keys", "orders"):
        op.execute(f"DROP TABLE {table}")
