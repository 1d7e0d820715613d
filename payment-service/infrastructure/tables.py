"""The tables of the schema `payments`."""

from chassis.postgres.inbox import inbox_table
from chassis.postgres.outbox import outbox_table
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
    func,
)

SCHEMA = "payments"

metadata = MetaData()

payments = Table(
    "payments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, nullable=False, unique=True),
    Column("customer_id", Uuid, nullable=False),
    Column("amount", Numeric(12, 2)),
    Column("currency", Text),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("charge_number", Integer, nullable=False, server_default="1"),
    Column("outcome_unknown", Boolean, nullable=False, server_default="false"),
    Column("waits", Integer, nullable=False, server_default="0"),
    Column("undone_reason", Text),
    Column("due_at", DateTime(timezone=True)),
    Column("lease", Uuid),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint(
        "status IN ('pending', 'processing', 'completed', 'failed', 'cancelled', 'refunding', 'refunded', 'void')",
        name="payments_status",
    ),
)
Index("payments_due_at", payments.c.due_at, postgresql_where=payments.c.due_at.is_not(None))

inbox = inbox_table(metadata)
outbox = outbox_table(metadata)
