"""Staff list failed and refunded payments, which are few among all.

Revision: 0002, after 0001. Writes wait while the index is built, 3 s for a million payments: built concurrently, it
would wait for a migration that waits for this one.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX payments_undone ON payments (id) WHERE reason IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX payments_undone")
