"""Whatever is known of a payment is in its row, and no column of this service stays unwritten."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from chassis.ports.ids import uuid7
from chassis.testing.stored import assert_every_column_is_written, assert_kept_whole, fill_inbox_and_outbox

from domain.events import PaymentEvent, PaymentFailed, PaymentRefunded
from domain.payment import Payment, Status
from infrastructure.tables import metadata, payments
from tests.postgres import PostgresStore

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
FIRST = Payment(
    id=uuid7(),
    order_id=uuid7(),
    customer_id=uuid4(),
    amount=Decimal("39.98"),
    currency="USD",
    status=Status.PROCESSING,
    reason="a reason",
    attempts=1,
    charge_number=2,
    outcome_unknown=True,
    waits=3,
    undone_reason="expired",
    due_at=NOON + timedelta(minutes=1),
    lease=uuid4(),
    expires_at=NOON,
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    created_at=NOON - timedelta(hours=3),
    updated_at=NOON - timedelta(hours=2),
)
SECOND = Payment(
    id=uuid7(),
    order_id=uuid7(),
    customer_id=uuid4(),
    amount=Decimal("9999999999.99"),
    currency="EUR",
    status=Status.COMPLETED,
    reason="another reason",
    attempts=4,
    charge_number=5,
    outcome_unknown=False,
    waits=6,
    undone_reason="cancelled-by-customer",
    due_at=NOON + timedelta(minutes=2),
    lease=uuid4(),
    expires_at=NOON + timedelta(hours=1),
    traceparent="00-00000000000000000000000000000001-0000000000000001-00",
    created_at=NOON - timedelta(hours=5),
    updated_at=NOON - timedelta(hours=4),
)
CHANGED = replace(
    FIRST,
    amount=Decimal("0.01"),
    currency="CHF",
    status=Status.REFUNDING,
    reason=None,
    attempts=7,
    charge_number=8,
    outcome_unknown=False,
    waits=9,
    undone_reason=None,
    due_at=None,
    lease=None,
    updated_at=NOON + timedelta(days=1),
)


async def test_a_payment_is_kept_whole_and_no_column_stays_unwritten(postgres: PostgresStore) -> None:
    async def add(payment: Payment) -> None:
        async with postgres.transaction() as unit:
            await unit.payments.add([payment])

    async def save(payment: Payment) -> None:
        async with postgres.transaction() as unit:
            await unit.payments.save([payment])

    async def load(payment: Payment) -> Payment:
        async with postgres.transaction() as unit:
            return (await unit.payments.locked([payment.order_id]))[payment.order_id]

    await assert_kept_whole(
        postgres.database,
        payments,
        FIRST,
        SECOND,
        CHANGED,
        add=add,
        save=save,
        load=load,
        never_changed={"id", "order_id", "customer_id", "expires_at", "traceparent", "created_at"},
    )
    events: list[PaymentEvent] = [
        PaymentFailed(uuid7(), uuid4(), uuid7(), "payment-declined"),
        PaymentRefunded(uuid7(), uuid4(), uuid7(), Decimal("1.00"), "USD", "expired"),
    ]
    await fill_inbox_and_outbox(postgres.units, events)
    await assert_every_column_is_written(postgres.database, metadata, besides=[payments])
