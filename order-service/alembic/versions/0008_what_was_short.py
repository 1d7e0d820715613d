"""An order that failed for want of stock says what was missing.

Revision: 0008, after 0007. The default is for the rows of before and of the version before; it rewrites no row.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN shortages jsonb NOT NULL DEFAULT '[]'")
    op.execute("ALTER TABLE orders ALTER COLUMN shortages SET STATISTICS 0")


def downgrade() -> None:
    op.execute("ALTER TABLE orders DROP COLUMN shortages")
