"""The table of holds is called what everything else calls it: reservations.

Revision: 0004, after 0003. The version before can't find the table any more: its consumer pauses until it is replaced.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _rename("holds", "reservations")


def downgrade() -> None:
    _rename("reservations", "holds")


def _rename(old: str, new: str) -> None:
    op.execute(f"ALTER TABLE {old} RENAME TO {new}")
    op.execute(f"ALTER TABLE {new} RENAME CONSTRAINT {old}_status TO {new}_status")
    for index in ("pkey", "due_at", "remind_at"):
        op.execute(f"ALTER INDEX {old}_{index} RENAME TO {new}_{index}")
