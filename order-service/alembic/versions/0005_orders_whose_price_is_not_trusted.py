"""Whether an order may name the price of a product that has none (docs/decisions/0025).

Revision: 0005, after 0004. The default is for orders that the version before places, beside this one, during an update.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN price_trusted boolean NOT NULL DEFAULT true")


def downgrade() -> None:
    op.execute("ALTER TABLE orders DROP COLUMN price_trusted")
