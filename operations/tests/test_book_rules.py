"""Every mistake is planted once in a real database that is in order otherwise, by one small statement beside the
services, and the books name it. Without this, their silence would prove nothing."""

import pytest

from operations.books.rows import payment_id
from tests import ledger
from tests.ledger import ALSO_SOLD, NEVER_SOLD, SOLD, Kind, order_id
from tests.planted import Planted, event, item, key, line, order, payment, reservation, without


@pytest.mark.parametrize("kinds", [ledger.KINDS, ledger.ENDED], ids=["with all that moves", "at rest"])
async def test_books_in_order_have_no_finding(planted: Planted, kinds: dict[str, Kind]) -> None:
    await planted.write(ledger.whole(kinds))
    assert (await planted.audit()).findings == []

    for schema in ("orders", "inventory", "payments"):
        await planted.plant(f"DELETE FROM {schema}.outbox")
    found = (await planted.audit(settled=True)).findings
    assert (found == []) is (kinds is ledger.ENDED)


NOTE = """jsonb '{"event": "%s"}'"""
NOBODY = "00000000-0000-4000-8000-0000000000ff"
PRICED = "price = 9.49, priced_at = now() - interval '1 day'"
UNPRICED = "price = NULL, priced_at = now() - interval '1 day'"
NEVER = [
    # An order's own row.
    (order("paid", "total_amount = 20"), "its lines make 19.99, but its total is 20"),
    (order("paid", "items = '[]'"), "it has no lines"),
    (order("paid", "due_at = expires_at"), "it is completed and to be looked at"),
    (order("placed", "due_at = NULL"), "it is pending and to be looked at None"),
    (order("placed", "due_at = due_at + interval '1 s'"), "it is pending and to be looked at"),
    (order("placed", "remind_at = NULL"), "it is pending, but asks nobody any more"),
    (order("held", "remind_at = NULL"), "it is confirmed, but asks nobody any more"),
    (reservation("held", "remind_at = NULL"), "its reservation is held, but asks nobody any more"),
    (order("paid", "created_at = updated_at + interval '1 s'"), "it was made"),
    (order("paid", "created_at = created_at + interval '1 ms'"), "is not in the order of its times"),
    (order("paid", "updated_at = updated_at - interval '1 ms'"), "is not in the order of its times"),
    (order("paid", "updated_at = now() + interval '3 min'"), "it was made"),
    (order("paid", "reason = 'expired'"), "it is completed for the reason expired"),
    (order("placed", "reason = 'expired'"), "it is pending for the reason expired"),
    (order("refunded", "reason = 'why'"), "it is cancelled for the reason why"),
    (order("refunded", "reason = NULL"), "it is cancelled for the reason None"),
    (order("refunded", "reason = 'why'"), "its reason is why once it is cancelled, but its timeline says cancelled-by"),
    (order("expired", "reason = NULL"), "it failed (None), but its reservation was not refused"),
    (order("expired", "expires_at = expires_at + interval '1 h'"), "it is expired, though its time was not up before"),
    (order("declined", "reason = 'expired'"), "it is expired, though its time was not up before"),
    (
        order("declined", "reason = 'out-of-stock'"),
        "it failed (out-of-stock), but its reservation was not refused for that",
    ),
    (order("declined", "reason = 'payment-retries-exhausted'"), "but its payment is not failed for that reason"),
    (
        order("declined", "reason = 'out-of-stock'") + reservation("declined", "reason = 'out-of-stock'"),
        "it failed (out-of-stock), but its reservation was not refused",
    ),
    (
        order("out of stock", "reason = 'unknown-product'"),
        "it failed (unknown-product), but its reservation was not refused",
    ),
    (
        order("out of stock", "reason = 'no-such-reason'"),
        "it failed (no-such-reason), but its reservation was not refused",
    ),
    (order("out of stock", "reason = 'payment-declined'"), "but its payment is not failed for that reason"),
    # Its timeline.
    (order("paid", "timeline = '[]'"), "does not begin with OrderCreated"),
    (order("paid", "timeline = timeline - 0"), "does not begin with OrderCreated"),
    (order("paid", "timeline = timeline - 1"), "goes from pending to completed by OrderCompleted"),
    (order("paid", "timeline = timeline - 2"), "it is completed, but its timeline ends with confirmed"),
    (order("refunded", "timeline = timeline || (timeline -> 4)"), "its timeline has PaymentRefunded 2 times"),
    (order("paid", "timeline = timeline || (timeline -> 2)"), "its timeline has OrderCompleted 2 times"),
    (order("paid", "timeline = timeline || (timeline -> 2)"), "goes from completed to completed by OrderCompleted"),
    (line("paid", 0, "status", '"completed"'), "its timeline begins with completed"),
    (line("paid", 0, "event", '"OrderConfirmed"'), "does not begin with OrderCreated"),
    (line("paid", 1, "event", '"OrderCancelled"'), "goes from pending to confirmed by OrderCancelled"),
    (line("paid", 1, "event", '"OrderHeld"'), "goes from pending to confirmed by OrderHeld"),
    (line("paid", 1, "status", '"completed"'), "goes from pending to completed by OrderConfirmed"),
    (line("paid", 2, "event", '"OrderFailed"'), "goes from confirmed to completed by OrderFailed"),
    (line("paid", 0, "reason", '"why"'), "its reason is None once it is pending, but its timeline says why"),
    (line("paid", 1, "reason", '"why"'), "its reason is None once it is confirmed, but its timeline says why"),
    (line("refunded", 2, "reason", '"why"'), "once it is cancelled, but its timeline says why"),
    (line("refunded", 3, "reason", '"why"'), "its timeline says InventoryReleased for why"),
    (line("refunded", 4, "reason", '"why"'), "its timeline says PaymentRefunded for why"),
    (line("refunded", 3, "status", '"failed"'), "its timeline has InventoryReleased while it was failed"),
    (line("paid", 1, "at", '"2026-01-01T00:00:00+00:00"'), "is not in the order of its times"),
    (line("paid", 2, "at", '"2126-01-01T00:00:00+00:00"'), "is not in the order of its times"),
    (
        order("paid", f"timeline = jsonb_insert(timeline, '{{2}}', timeline -> 1 || {NOTE % 'PaymentRefunded'})"),
        "its timeline has PaymentRefunded while it was confirmed",
    ),
    (
        order("declined", f"timeline = timeline || (timeline -> 3 || {NOTE % 'PaymentRefunded'})"),
        "a line PaymentRefund",
    ),
    (
        order("out of stock", f"timeline = timeline || (timeline -> 1 || {NOTE % 'InventoryReleased'})"),
        "a line Invento",
    ),
    # Its reservation.
    (without("orders.orders", "paid"), "There is a reservation for order"),
    (without("orders.orders", "out of stock"), "There is a reservation for order"),
    (reservation("paid", f"customer_id = '{NOBODY}'"), f"but its reservation of customer {NOBODY}"),
    (reservation("cancelled at once", f"customer_id = '{NOBODY}'"), f"but its reservation of customer {NOBODY}"),
    (reservation("paid", "total_amount = 20"), "it is worth 19.99 USD, but its reservation is for 20.00 USD"),
    (reservation("paid", "total_amount = NULL"), "it is worth 19.99 USD, but its reservation is for None USD"),
    (reservation("out of stock", "currency = 'EUR'"), "it is worth 19.99 USD, but its reservation is for 19.99 EUR"),
    (reservation("paid", "items = items - 1"), "but its reservation is for"),
    (reservation("paid", "items = NULL"), "but its reservation is for None"),
    (reservation("paid", "items = jsonb_set(items, '{0,quantity}', '3')"), "but its reservation is for"),
    (reservation("paid", "items = jsonb_set(items, '{1,price}', '\"0.98\"')"), "but its reservation is for"),
    (
        reservation("paid", f"items = jsonb_set(items, '{{1,product_id}}', '\"{NEVER_SOLD}\"')"),
        "but its reservation is for",
    ),
    (reservation("paid", "expires_at = expires_at + interval '1 s'"), "but that of its reservation"),
    (reservation("cancelled at once", "expires_at = expires_at - interval '1 s'"), "but that of its reservation"),
    (
        reservation("paid", "traceparent = overlay(traceparent placing 'f' from 4)"),
        "its reservation bears another trace",
    ),
    (reservation("paid", "updated_at = created_at - interval '1 ms'"), "its reservation was made"),
    (reservation("paid", "updated_at = now() + interval '3 min'"), "its reservation was made"),
    (reservation("paid", "reason = 'why'"), "its reservation is sold, and yet for the reason why"),
    (reservation("held", "reason = 'why'"), "its reservation is held, and yet for the reason why"),
    (reservation("cancelled at once", "reason = 'why'"), "its reservation is void, and yet for the reason why"),
    (reservation("refunded", "reason = 'why'"), "but its reservation was released for why"),
    (reservation("refunded", "reason = NULL"), "but its reservation was released for None"),
    (item(SOLD, PRICED), "was held for it at 9.5, but costs 9.49 since"),
    *(
        (item(SOLD, UNPRICED) + order(name, "price_trusted = false"), "at a price that is not trusted, and has none")
        for name in ("held", "paid", "refunded")
    ),
    (
        reservation("out of stock", "reason = 'unknown-product'"),
        "it failed (out-of-stock), but its reservation was not refused",
    ),
    (
        reservation("out of stock", "status = 'void', reason = NULL"),
        "it failed (out-of-stock), but its reservation was not refused",
    ),
    (reservation("refunded", "status = 'void', reason = NULL"), "its reservation is void, but its timeline has a line"),
    (
        without("inventory.reservations", "refunded"),
        "its reservation is absent, but its timeline has a line InventoryReleased",
    ),
    # Its payment.
    (without("orders.orders", "refunded"), "There is a payment for order"),
    (without("orders.orders", "paid") + without("inventory.reservations", "paid"), "There is a payment for order"),
    (payment("paid", "id = gen_random_uuid()"), f"and should be {payment_id(order_id('paid'))}"),
    (payment("cancelled at once", "id = gen_random_uuid()"), "and should be"),
    (payment("paid", f"customer_id = '{NOBODY}'"), f"but its payment of customer {NOBODY}"),
    (payment("paid", "amount = 20"), "it is worth 19.99 USD, but its payment is of 20.00 USD"),
    (payment("paid", "currency = 'EUR'"), "it is worth 19.99 USD, but its payment is of 19.99 EUR"),
    (payment("paid", "amount = NULL"), "it is worth 19.99 USD, but its payment is of None USD"),
    (payment("paid", "expires_at = expires_at + interval '1 s'"), "but that of its payment"),
    (payment("paid", "traceparent = overlay(traceparent placing 'f' from 4)"), "its payment bears another trace"),
    (payment("paid", "updated_at = created_at - interval '1 ms'"), "its payment was made"),
    (payment("paid", "updated_at = now() + interval '3 min'"), "its payment was made"),
    (payment("paid", "reason = 'why'"), "its payment is completed, and yet for the reason why"),
    (payment("being charged", "reason = 'why'"), "its payment is processing, and yet for the reason why"),
    (payment("to be charged", "reason = 'why'"), "its payment is pending, and yet for the reason why"),
    (payment("cancelled at once", "reason = 'why'"), "its payment is void, and yet for the reason why"),
    (payment("declined", "reason = 'expired'"), "its payment failed for expired, which fails none"),
    (payment("declined", "reason = NULL"), "its payment failed for None, which fails none"),
    (payment("declined", "reason = 'payment-retries-exhausted'"), "its payment is not failed for that reason"),
    (payment("declined", "status = 'cancelled'"), "its payment is not failed for that reason"),
    (payment("refunded", "reason = 'why'"), "its payment is refunded for why, but its timeline says"),
    (payment("refunded", "undone_reason = 'why'"), "but its payment was undone for why"),
    (payment("cancelled unasked", "reason = 'why'"), "but its payment was undone for why"),
    (payment("being charged", "undone_reason = 'why'"), "it is confirmed for None, but its payment was undone for why"),
    (payment("undone and unknown", "undone_reason = 'why'"), "but its payment was undone for why"),
    (payment("paid", "attempts = 0"), "its payment is completed, though the gateway was never asked"),
    (payment("declined", "attempts = 0"), "its payment is failed, though the gateway was never asked"),
    (payment("being charged", "attempts = 0"), "its payment is processing, though the gateway was never asked"),
    (payment("to be charged", "attempts = 1"), "its payment is pending, though the gateway was asked 1 time"),
    (payment("expired", "attempts = 1"), "its payment is void, though the gateway was asked 1 time"),
    (payment("paid", "charge_number = 3"), "its payment is at charge 3 after 1 attempt(s)"),
    (payment("paid", "charge_number = 0"), "its payment is at charge 0 after 1 attempt(s)"),
    (payment("paid", "outcome_unknown = true"), "is completed, though nobody knows whether it was charged"),
    (payment("declined", "outcome_unknown = true"), "is failed, though nobody knows whether it was charged"),
    (payment("paid", "lease = gen_random_uuid()"), "is completed, and yet the gateway is being asked for it"),
    (payment("between attempts", "lease = gen_random_uuid()"), "is processing, and yet the gateway is being asked for"),
    (payment("to be charged", "due_at = NULL"), "nothing will ask the gateway for it any more"),
    (payment("being charged", "due_at = NULL"), "nothing will ask the gateway for it any more"),
    (payment("being refunded", "due_at = NULL"), "nothing will ask the gateway for it any more"),
    (payment("paid", "due_at = now()"), "is completed, but the gateway is to be asked for it"),
    (payment("refunded", "due_at = now()"), "is refunded, but the gateway is to be asked for it"),
    (payment("being refunded", "due_at = now() + interval '1 h'"), "the gateway will not be asked for it before"),
    (payment("undone and unknown", "due_at = now() + interval '1 h'"), "the gateway will not be asked for it before"),
    (
        without("inventory.reservations", "undone and unknown"),
        "its payment is processing, though its reservation is absent",
    ),
    (
        reservation("declined", "status = 'void', reason = NULL"),
        "its payment is failed, though its reservation is void",
    ),
    (
        payment("refunded", "status = 'completed'"),
        "its payment is completed, but its timeline has a line PaymentRefunded",
    ),
    (without("payments.payments", "refunded"), "its payment is absent, but its timeline has a line PaymentRefunded"),
    # Stock.
    (item(NEVER_SOLD, "quantity_available = 99"), "began with 100, but 99 available, 0 reserved and 0 sold make 99"),
    (item(NEVER_SOLD, "quantity_available = 101"), "began with 100, but 101 available"),
    (item(SOLD, "quantity_available = quantity_available - 1"), "began with 100, but"),
    (
        item(NEVER_SOLD, "quantity_available = 100, reserved_quantity = 1"),
        "1 reserved, but its reservations add up to 0",
    ),
    (item(SOLD, "reserved_quantity = reserved_quantity - 1"), "reserved, but its reservations add up to"),
    (item(NEVER_SOLD, "quantity_available = -1"), "has -1 available and 0 reserved"),
    (item(NEVER_SOLD, "reserved_quantity = -1"), "has 100 available and -1 reserved"),
    (f"DELETE FROM inventory.inventory_items WHERE product_id = '{SOLD}'", "of it are held and"),
    (f"DELETE FROM inventory.inventory_items WHERE product_id = '{NEVER_SOLD}'", "0 of it are held and 0 sold"),
    # What stands for an order, or tells of one.
    (key(f"'{NOBODY}'"), f"There is an idempotency key for order {NOBODY}, which does not exist"),
    (key("{paid}"), f"Order {order_id('paid')} has 2 idempotency keys"),
    (event("orders", of=f"'{NOBODY}'"), "The outbox of orders keeps 1 event(s) of orders that do not exist"),
    (event("payments", of=f"'{NOBODY}'"), "The outbox of payments keeps 1 event(s) of orders that do not"),
]


@pytest.mark.parametrize(("statement", "expected"), NEVER, ids=[f"{n} {case[1]}" for n, case in enumerate(NEVER)])
async def test_what_never_may_be_is_found_at_any_moment(planted: Planted, statement: str, expected: str) -> None:
    await planted.plant(statement)

    for settled in (False, True):
        findings = (await planted.audit(settled=settled)).findings
        sentences = [finding.sentence for finding in findings if finding.severity == "violation"]
        assert any(expected in sentence for sentence in sentences), sentences


@pytest.mark.parametrize(
    "statement",
    [
        item(SOLD, "price = 9.50, priced_at = now() - interval '1 day'"),
        item(SOLD, "price = 9.49, priced_at = now()"),
        item(SOLD, UNPRICED),
        item(SOLD, "priced_at = now()") + item(ALSO_SOLD, "priced_at = now()") + order("paid", "price_trusted = false"),
        item(SOLD, "price = 9.49, priced_at = (SELECT max(created_at) FROM inventory.reservations)"),
        order("out of stock", "price_trusted = false") + order("cancelled at once", "price_trusted = false"),
    ],
)
async def test_a_price_that_is_the_shop_s_or_that_the_books_can_t_know_is_no_finding(
    planted: Planted, statement: str
) -> None:
    await planted.plant(statement)
    assert (await planted.audit()).findings == []


async def test_a_price_binds_whoever_got_stock_and_nobody_else(planted: Planted) -> None:
    await planted.plant(item(SOLD, PRICED))
    found = {finding.sentence.split(":")[0] for finding in (await planted.audit()).findings}
    got = [name for name, kind in ledger.KINDS.items() if kind.reservation in ("held", "sold", "released")]
    assert found == {f"Order {order_id(name)}" for name in got}


async def test_a_tombstone_of_an_order_that_a_restore_has_lost_is_no_finding(planted: Planted) -> None:
    """It asks for nothing, and is forgotten by itself."""
    await planted.plant(without("orders.orders", "cancelled at once"))
    assert (await planted.audit()).findings == []
