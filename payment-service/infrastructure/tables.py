"""The tables of the schema `payments`."""

import sqlalchemy as sa
from chassis.postgres.tables import service_metadata

SCHEMA = "payments"

metadata = service_metadata()

payments = sa.Table(
    "payments",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("order_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("customer_id", sa.Uuid, nullable=False),
    sa.Column("amount", sa.Numeric(12, 2)),
    sa.Column("currency", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("charge_number", sa.Integer, nullable=False, server_default="1"),
    sa.Column("outcome_unknown", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("waits", sa.Integer, nullable=False, server_default="0"),
    sa.Column("undone_reason", sa.Text),
    sa.Column("due_at", sa.DateTime(timezone=True)),
    sa.Column("lease", sa.Uuid),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("traceparent", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint(
        "status IN ('pending', 'processing', 'completed', 'failed', 'cancelled', 'refunding', 'refunded', 'void')",
        name="payments_status",
    ),
)
sa.Index("payments_due_at", payments.c.due_at, postgresql_where=payments.c.due_at.is_not(None))
# By what undone payments alone have: were status in an index, no update of it would be a HOT update.
sa.Index("payments_undone", payments.c.id, postgresql_where=payments.c.reason.is_not(None))
