"""The tables of the schema `orders`."""

import sqlalchemy as sa
from chassis.postgres.tables import service_metadata
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "orders"

metadata = service_metadata(idempotency_keys=True)

orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("customer_id", sa.Uuid, nullable=False),
    # JSON, because an order's lines never change and are read with their order only: see docs/decisions/.
    sa.Column("items", JSONB, nullable=False),
    sa.Column("total_amount", sa.Numeric(12, 2), nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("shortages", JSONB, nullable=False, server_default="[]"),
    sa.Column("timeline", JSONB, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    # expires_at while the order is open, then null, so that the index holds open orders only and an update of the
    # status alone touches no index.
    sa.Column("due_at", sa.DateTime(timezone=True)),
    # These defaults are for the previous version, which runs beside this one during an update.
    sa.Column("remind_at", sa.DateTime(timezone=True), server_default=sa.text("now() + interval '30 seconds'")),
    sa.Column("price_trusted", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("traceparent", sa.Text, nullable=False),
    sa.CheckConstraint("status IN ('pending', 'confirmed', 'completed', 'failed', 'cancelled')", name="orders_status"),
    sa.CheckConstraint("(due_at IS NULL) = (status IN ('completed', 'failed', 'cancelled'))", name="orders_due"),
)
sa.Index("orders_customer", orders.c.customer_id, orders.c.id)
sa.Index("orders_open", orders.c.customer_id, postgresql_where=orders.c.due_at.is_not(None))
# By what failed and cancelled orders alone have, and not by their status: an update of a column that any index names is
# no HOT update, and confirming an order is one.
sa.Index("orders_undone", orders.c.id, postgresql_where=orders.c.reason.is_not(None))
sa.Index("orders_due_at", orders.c.due_at, postgresql_where=orders.c.due_at.is_not(None))
sa.Index("orders_remind_at", orders.c.remind_at, postgresql_where=orders.c.remind_at.is_not(None))
