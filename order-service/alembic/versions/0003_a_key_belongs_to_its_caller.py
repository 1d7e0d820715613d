"""An idempotency key belongs to its caller: two customers who use the same key don't meet.

Code of before this revision can't be let loose on the new table: it takes a key for everybody's. It names a column that
is called otherwise from here on, so that it answers a POST with a key 503 (an unknown column is an outage to it) and
places nothing, until it is replaced.

Revision: 0003, after 0002.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE idempotency_keys ADD COLUMN caller text")
    op.execute("UPDATE idempotency_keys SET caller = o.customer_id FROM orders AS o WHERE o.id = resource_id")
    # Orders are kept for ever. Should a key have lost its order all the same, there is no answer to repeat.
    op.execute("DELETE FROM idempotency_keys WHERE caller IS NULL")
    op.execute("ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey, ADD PRIMARY KEY (caller, key)")
    op.execute("ALTER TABLE idempotency_keys RENAME COLUMN fingerprint TO request_fingerprint")


def downgrade() -> None:
    """A key that several callers use stays with the first of them. A repetition by another, or of what was placed since
    the upgrade (the fingerprint is made otherwise), is refused with 422; none makes a second order."""
    op.execute(
        """
        DELETE FROM idempotency_keys AS later USING idempotency_keys AS first
        WHERE first.key = later.key AND (first.created_at, first.caller) < (later.created_at, later.caller)
        """
    )
    op.execute("ALTER TABLE idempotency_keys RENAME COLUMN request_fingerprint TO fingerprint")
    op.execute("ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey, ADD PRIMARY KEY (key)")
    op.execute("ALTER TABLE idempotency_keys DROP COLUMN caller")
