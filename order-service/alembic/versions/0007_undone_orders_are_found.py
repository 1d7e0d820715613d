"""Staff list failed and cancelled orders, which are few among all.

Revision: 0007, after 0006. Writes wait while the index is built, 3 s for a million orders: built concurrently, it would
wait for a migration that waits for this one.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX orders_undone ON orders (id) WHERE reason IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX orders_undone")
