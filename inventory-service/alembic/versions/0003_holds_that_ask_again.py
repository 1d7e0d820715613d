"""When a hold says again that its stock is held (docs/decisions/0018); how often it has follows from its age.

Revision: 0003, after 0002. The version before can't write the table any more: its consumer pauses until it is replaced.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE holds ADD COLUMN remind_at timestamptz, DROP COLUMN reminders")
    op.execute("UPDATE holds SET remind_at = now() + interval '60 seconds', due_at = NULL WHERE status = 'held'")
    op.execute("CREATE INDEX holds_remind_at ON holds (remind_at) WHERE remind_at IS NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE holds ADD COLUMN reminders integer NOT NULL DEFAULT 0, DROP COLUMN remind_at")
    op.execute("UPDATE holds SET due_at = expires_at + interval '60 seconds' WHERE status = 'held'")
