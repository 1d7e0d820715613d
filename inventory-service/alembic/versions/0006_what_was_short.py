"""A reservation that was refused for want of stock says what was missing, each time that it is asked.

Revision: 0006, after 0005. The default is for the rows of before and of the version before; it rewrites no row.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE reservations ADD COLUMN shortages jsonb NOT NULL DEFAULT '[]'")
    op.execute("ALTER TABLE reservations ALTER COLUMN shortages SET STATISTICS 0")


def downgrade() -> None:
    op.execute("ALTER TABLE reservations DROP COLUMN shortages")
