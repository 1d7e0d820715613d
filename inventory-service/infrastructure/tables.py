"""The tables of the schema `inventory`."""

from chassis.postgres.inbox import inbox_table
from chassis.postgres.outbox import outbox_table
from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, MetaData, Numeric, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "inventory"

metadata = MetaData()

inventory_items = Table(
    "inventory_items",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("product_id", Uuid, nullable=False, unique=True),
    Column("quantity_available", BigInteger, nullable=False),
    Column("reserved_quantity", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("price", Numeric(12, 2)),
    Column("priced_at", DateTime(timezone=True)),
    # The last defence against overselling, which the domain already prevents.
    CheckConstraint("quantity_available >= 0", name="inventory_items_available"),
    CheckConstraint("reserved_quantity >= 0", name="inventory_items_reserved"),
    CheckConstraint("price > 0", name="inventory_items_price"),
    CheckConstraint("price IS NULL OR priced_at IS NOT NULL", name="inventory_items_priced"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("items", JSONB),
    Column("total_amount", Numeric(12, 2)),
    Column("currency", Text),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("due_at", DateTime(timezone=True)),
    Column("remind_at", DateTime(timezone=True)),
    Column("traceparent", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("status IN ('held', 'sold', 'released', 'refused', 'void')", name="reservations_status"),
)
Index("reservations_due_at", reservations.c.due_at, postgresql_where=reservations.c.due_at.is_not(None))
Index("reservations_remind_at", reservations.c.remind_at, postgresql_where=reservations.c.remind_at.is_not(None))

inbox = inbox_table(metadata)
outbox = outbox_table(metadata)
