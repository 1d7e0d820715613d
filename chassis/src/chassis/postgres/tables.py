"""The tables that every service has beside its own, as the migrations should make them: `alembic check` compares."""

import sqlalchemy as sa


def service_metadata(*, idempotency_keys: bool = False) -> sa.MetaData:
    """With the inbox and the outbox; the service adds its own tables."""
    metadata, now = sa.MetaData(), sa.func.now()
    sa.Table(
        "inbox",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Index("inbox_processed_at", "processed_at"),
    )
    sa.Table(
        "outbox",
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("routing_key", sa.Text, nullable=False),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
    )
    if idempotency_keys:
        sa.Table(
            "idempotency_keys",
            metadata,
            sa.Column("caller", sa.Text, primary_key=True),
            sa.Column("key", sa.Text, primary_key=True),
            sa.Column("request_fingerprint", sa.LargeBinary, nullable=False),
            sa.Column("resource_id", sa.Uuid, nullable=False),
            sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=now, index=True),
        )
    return metadata
