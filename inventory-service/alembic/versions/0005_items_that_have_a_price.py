"""A product may have a price (docs/decisions/0025).

Revision: 0005, after 0004. The version before sells at any price until it is replaced, so set prices after the update.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE inventory_items
            ADD COLUMN price numeric(12, 2) CONSTRAINT inventory_items_price CHECK (price > 0),
            ADD COLUMN priced_at timestamptz,
            ADD CONSTRAINT inventory_items_priced CHECK (price IS NULL OR priced_at IS NOT NULL)
        """
    )


def downgrade() -> None:
    """The prices are lost."""
    op.execute("ALTER TABLE inventory_items DROP COLUMN price, DROP COLUMN priced_at")
