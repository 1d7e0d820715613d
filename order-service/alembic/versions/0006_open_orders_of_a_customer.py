"""A customer's open orders are counted before another one is taken (docs/decisions/0030).

Revision: 0006, after 0005.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX orders_open ON orders (customer_id) WHERE due_at IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX orders_open")
