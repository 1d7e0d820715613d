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
    for statement in (*CREATE_INBOX_1, *CREATE_OUTBOX_1):
        op.execute(statement)


def downgrade() -> None:
    for table in ("outbox", "inbox", "payments"):
        op.execute(f"DROP TABLE {table}")
