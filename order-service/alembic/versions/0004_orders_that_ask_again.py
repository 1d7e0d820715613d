"""When an order says again what nobody has answered (docs/decisions/0018).

Revision: 0004, after 0003. The default is for orders that the version before places, beside this one, during an update.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN remind_at timestamptz")
    op.execute("ALTER TABLE orders ALTER COLUMN remind_at SET DEFAULT now() + interval '30 seconds'")
    op.execute("UPDATE orders SET remind_at = now() + interval '30 seconds' WHERE due_at IS NOT NULL")
    op.execute("CREATE INDEX orders_remind_at ON orders (remind_at) WHERE remind_at IS NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE orders DROP COLUMN remind_at")
