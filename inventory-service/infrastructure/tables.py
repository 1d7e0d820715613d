"""The tables of the schema `inventory`."""

import sqlalchemy as sa
from chassis.postgres.tables import service_metadata
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "inventory"

metadata = service_metadata(idempotency_keys=True)

inventory_items = sa.Table(
    "inventory_items",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("product_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("quantity_available", sa.BigInteger, nullable=False),
    sa.Column("reserved_quantity", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("price", sa.Numeric(12, 2)),
    sa.Column("priced_at", sa.DateTime(timezone=True)),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="1"),
    # The last defence against overselling, which the domain already prevents.
    sa.CheckConstraint("quantity_available >= 0", name="inventory_items_available"),
    sa.CheckConstraint("reserved_quantity >= 0", name="inventory_items_reserved"),
    sa.CheckConstraint("price > 0", name="inventory_items_price"),
    sa.CheckConstraint("price IS NULL OR priced_at IS NOT NULL", name="inventory_items_priced"),
)

stock_changes = sa.Table(
    "stock_changes",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("product_id", sa.Uuid, nullable=False),
    sa.Column("difference", sa.BigInteger, nullable=False),
    sa.Column("quantity_available", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
)
sa.Index("stock_changes_due_at", stock_changes.c.due_at)

reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True),
    sa.Column("customer_id", sa.Uuid, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("shortages", JSONB, nullable=False, server_default="[]"),
    sa.Column("items", JSONB),
    sa.Column("total_amount", sa.Numeric(12, 2)),
    sa.Column("currency", sa.Text),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("due_at", sa.DateTime(timezone=True)),
    sa.Column("remind_at", sa.DateTime(timezone=True)),
    sa.Column("traceparent", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("status IN ('held', 'sold', 'released', 'refused', 'void')", name="reservations_status"),
)
sa.Index("reservations_due_at", reservations.c.due_at, postgresql_where=reservations.c.due_at.is_not(None))
sa.Index("reservations_remind_at", reservations.c.remind_at, postgresql_where=reservations.c.remind_at.is_not(None))
