"""The tables of the schema `orders`."""

from chassis.postgres.idempotency import idempotency_table
from chassis.postgres.inbox import inbox_table
from chassis.postgres.outbox import outbox_table
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "orders"

metadata = MetaData()

orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    # JSON, because an order's lines never change and are read with their order only: see docs/decisions/.
    Column("items", JSONB, nullable=False),
    Column("total_amount", Numeric(12, 2), nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("timeline", JSONB, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    # expires_at while the order is open, then null, so that the index holds open orders only and an update of the
    # status alone touches no index.
    Column("due_at", DateTime(timezone=True)),
    # These defaults are for the previous version, which runs beside this one during an update.
    Column("remind_at", DateTime(timezone=True), server_default=text("now() + interval '30 seconds'")),
    Column("price_trusted", Boolean, nullable=False, server_default=true()),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("traceparent", Text, nullable=False),
    CheckConstraint("status IN ('pending', 'confirmed', 'completed', 'failed', 'cancelled')", name="orders_status"),
    CheckConstraint("(due_at IS NULL) = (status IN ('completed', 'failed', 'cancelled'))", name="orders_due"),
)
Index("orders_customer", orders.c.customer_id, orders.c.id)
Index("orders_open", orders.c.customer_id, postgresql_where=orders.c.due_at.is_not(None))
Index("orders_due_at", orders.c.due_at, postgresql_where=orders.c.due_at.is_not(None))
Index("orders_remind_at", orders.c.remind_at, postgresql_where=orders.c.remind_at.is_not(None))

inbox = inbox_table(metadata)
outbox = outbox_table(metadata)
idempotency_keys = idempotency_table(metadata)
