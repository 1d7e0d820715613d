"""What is recorded: orders that have ended, dead letters, and orders that stopped at each step of their way.

Each scene leaves inventory and order running and payment down, unless it says otherwise; notification is down from the
second scene on, so that its queue keeps what the customers have not been told yet.
"""

import json
from uuid import uuid4

from chassis.messaging.topology import Queue
from chassis.testing import eventually

from operations.addresses import SERVICES
from operations.load import settled_books
from operations.shop import DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER, Line
from system import ROOT
from upgrade.recorder import End, Recorder

ORDER, INVENTORY, PAYMENT, NOTIFICATION, *_ = SERVICES

PAID = End("completed", None, "completed")
OUT_OF_STOCK = End("failed", "out-of-stock", None)
UNKNOWN_PRODUCT = End("failed", "unknown-product", None)
DECLINED = End("failed", "payment-declined", "failed")
EXHAUSTED = End("failed", "payment-retries-exhausted", "failed")
EXPIRED = End("failed", "expired", None)
CANCELLED = End("cancelled", "cancelled-by-customer", None)
UNCHARGED = End("cancelled", "cancelled-by-customer", "cancelled")
REFUNDED = End("cancelled", "cancelled-by-customer", "refunded")

_BREAK_PAYMENTS = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'out of order'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON payments.payments FOR EACH ROW EXECUTE FUNCTION public.refuse();
"""
_MEND_PAYMENTS = "DROP TRIGGER refuse ON payments.payments; DROP FUNCTION public.refuse()"
_PATIENT = {"PAYMENT_RETRY_DELAYS_SECONDS": "10,10,10"}


async def play(shop: Recorder) -> None:
    """All services run; in the end none does."""
    line = Line(await shop.product(), 2, 9.95)
    await ended(shop, line)
    await dead_letters(shop, line)
    await unheard_by_inventory(shop, line)
    await unheard_by_payment(shop, line)
    await unheard_decisions(shop, line)
    await unheard_by_order(shop, line)
    await unheard_payments(shop, line)
    await outboxes(shop, line)
    await shop.remind_after("30 seconds")


async def ended(shop: Recorder, line: Line) -> None:
    """Nothing moves any more. All services run."""
    await shop.place("completed", PAID, line, keyed=True)
    await shop.place("out of stock", OUT_OF_STOCK, Line(await shop.product(1), 2), keyed=True)
    await shop.place("unknown product", UNKNOWN_PRODUCT, Line(uuid4()))
    await shop.place("declined", DECLINED, line, customer=DECLINED_CUSTOMER)
    await shop.place("exhausted", EXHAUSTED, line, customer=FAILING_CUSTOMER)
    await shop.place("charged at the second answer", PAID, line, customer=FORGETFUL_CUSTOMER)
    await shop.place("refunded", REFUNDED, line, customer=FORGETFUL_CUSTOMER, keyed=True)
    await shop.payment_becomes("processing", "refunded", outcome_unknown=True, lease=None)
    await shop.cancel("refunded")
    await shop.becomes("failed", "exhausted")

    await shop.stop(PAYMENT)
    await shop.place("cancelled", CANCELLED, line)
    await shop.becomes("confirmed", "cancelled")
    await shop.cancel("cancelled")
    await shop.start(PAYMENT, **_PATIENT)
    await shop.place("cancelled between attempts", UNCHARGED, line, customer=FAILING_CUSTOMER)
    await shop.payment_becomes("processing", "cancelled between attempts", outcome_unknown=False)
    await shop.cancel("cancelled between attempts")

    await shop.stop(INVENTORY, ORDER)
    await shop.start(ORDER, ORDER_EXPIRES_AFTER_SECONDS="1")
    await shop.place("expired", EXPIRED, line)
    await shop.becomes("failed", "expired")
    await shop.stop(ORDER)
    await shop.start(INVENTORY, ORDER, ORDER_EXPIRES_AFTER_SECONDS="900")

    assert not await settled_books(shop.system.database_url, {}, within_seconds=30)
    await shop.record_answers()


async def dead_letters(shop: Recorder, line: Line) -> None:
    """One of each reason: a handler's errors, an unreadable message, an unknown order, and the broker's own limit, on a
    message of one event and on one of several. One more event waits for its retry."""
    await shop.database.execute(_BREAK_PAYMENTS)
    await shop.place("dead-lettered by payment", PAID, line)

    async def waits_longest() -> bool:
        return (await shop.channel.state(Queue(PAYMENT, ()).retry(30)))[0] == 1

    await eventually(waits_longest)
    await shop.place("to be retried by payment", PAID, line)
    await shop.put_aside(Queue(PAYMENT, ()).retry(5), events=1)
    await shop.put_aside(f"{PAYMENT}.dlq", events=1)
    await shop.stop(PAYMENT)
    await shop.database.execute(_MEND_PAYMENTS)

    await shop.channel.send(b'{"specversion": "1.0", ', routing_key="order.created")
    example = json.loads((ROOT / PAYMENT / "contracts" / "PaymentProcessed.example.json").read_text())
    await shop.channel.send_events([example | {"id": str(uuid4())}], routing_key="payment.processed")

    async def both_are_set_aside() -> bool:
        return all([(await shop.channel.state(f"{service}.dlq"))[0] for service in (INVENTORY, ORDER)])

    await eventually(both_are_set_aside)
    await shop.stop(INVENTORY, NOTIFICATION)
    await shop.place_at_once(4, "dead-lettered by the broker", PAID, line)
    await shop.refuse(INVENTORY, events=4)
    await shop.start(INVENTORY)
    await shop.place("unheard by the customer", CANCELLED, line)
    await shop.becomes("confirmed", "unheard by the customer")
    await shop.cancel("unheard by the customer")
    await shop.refuse(NOTIFICATION, events=1)
    await shop.take(PAYMENT, events=2)  # whose loss harms nobody: the order is cancelled, and was never charged


async def unheard_by_inventory(shop: Recorder, line: Line) -> None:
    scarce = Line(await shop.product(3), 4)
    await shop.stop(INVENTORY)
    await shop.place("placed", PAID, line, keyed=True)
    await shop.place_at_once(6, "placed at once", PAID, line)
    await shop.place("placed for too many", OUT_OF_STOCK, scarce)
    await shop.place("placed and cancelled", CANCELLED, line)
    await shop.cancel("placed and cancelled")
    await shop.put_aside(INVENTORY, events=10)
    await shop.put_aside(PAYMENT, events=1)
    await shop.start(INVENTORY)


async def unheard_by_payment(shop: Recorder, line: Line) -> None:
    await shop.place("confirmed", PAID, line)
    await shop.place_at_once(5, "confirmed at once", PAID, line)
    await shop.becomes("confirmed", "confirmed")
    await shop.put_aside(PAYMENT, events=6)


async def unheard_decisions(shop: Recorder, line: Line) -> None:
    """Inventory has not heard how these have ended."""
    await shop.place("completed, unsold", PAID, line)
    await shop.place("declined, unreleased", DECLINED, line, customer=DECLINED_CUSTOMER)
    await shop.becomes("confirmed", "completed, unsold", "declined, unreleased")
    await shop.stop(INVENTORY)
    await shop.start(PAYMENT)
    await shop.becomes("completed", "completed, unsold")
    await shop.becomes("failed", "declined, unreleased")
    await shop.put_aside(INVENTORY, events=2)
    await shop.stop(PAYMENT)
    await shop.start(INVENTORY)


async def unheard_by_order(shop: Recorder, line: Line) -> None:
    """What inventory has done for them, order and payment have not heard."""
    await shop.place("released", CANCELLED, line)
    await shop.becomes("confirmed", "released")
    await shop.stop(INVENTORY)
    await shop.cancel("released")
    await shop.place("reserved", PAID, line)
    await shop.place_at_once(4, "reserved at once", PAID, line)
    await shop.stop(ORDER)
    await shop.start(INVENTORY)
    await shop.put_aside(ORDER, events=6)
    await shop.put_aside(PAYMENT, events=7)
    await shop.start(ORDER)


async def unheard_payments(shop: Recorder, line: Line) -> None:
    """What payment has done for them, order has not heard; one more is cancelled though it is paid, which payment has
    not heard yet."""
    await shop.place("paid", PAID, line)
    await shop.place_at_once(4, "paid at once", PAID, line)
    await shop.place("payment declined", DECLINED, line, customer=DECLINED_CUSTOMER)
    await shop.place("paid and refunded", REFUNDED, line)
    await shop.place("paid and cancelled", REFUNDED, line, keyed=True)
    await shop.becomes("confirmed", "paid", "payment declined")
    await shop.stop(ORDER)
    await shop.start(PAYMENT)
    await shop.put_aside(ORDER, events=8)
    await shop.stop(PAYMENT)

    await shop.start(ORDER)
    await shop.cancel("paid and refunded")
    await shop.notes("InventoryReleased", "paid and refunded")
    refunded = await shop.take(PAYMENT, events=1)
    await shop.stop(ORDER)
    await shop.start(PAYMENT)
    await shop.give(refunded)
    await shop.payment_becomes("refunded", "paid and refunded")
    await shop.put_aside(ORDER, events=1)
    await shop.stop(PAYMENT)
    await shop.start(ORDER)


async def outboxes(shop: Recorder, line: Line) -> None:
    """Each service ends with events that it has committed and not published. Payment dies while it asks for a refund,
    with outcomes unknown and a retry to come; order dies before it answers a request."""
    await shop.place("told by payment's outbox", PAID, line)
    told = await shop.take(PAYMENT, events=1)
    for name, end in (("charged or not", PAID), ("charged or not, and cancelled", REFUNDED)):
        await shop.place(name, end, line, customer=FORGETFUL_CUSTOMER)
    await shop.place("to be charged again", EXHAUSTED, line, customer=FAILING_CUSTOMER)
    charged = await shop.take(PAYMENT, events=3)
    await shop.becomes("confirmed", "told by payment", "charged or not", "to be charged")
    await shop.cancel("charged or not, and cancelled")
    await shop.put_aside(PAYMENT, events=1)
    await shop.cancel("paid and cancelled")
    cancelled = await shop.take(PAYMENT, events=1)
    await shop.stop(INVENTORY)
    await shop.place("told by inventory's outbox", PAID, line)
    placed = await shop.take(INVENTORY, events=1)
    await shop.stop(ORDER)

    await shop.isolate()
    shop.arm(PAYMENT, "lease-before-gateway:refund")
    await shop.start(PAYMENT)
    await shop.give(told)
    await shop.see(lambda found: found.outboxes["payments"] > 0)
    await shop.give([*charged, *cancelled])
    await shop.dies(PAYMENT)

    await shop.isolate()
    await shop.start(INVENTORY)
    await shop.give(placed)
    await shop.see(lambda found: found.outboxes["inventory"] > 0)
    await shop.system.kill(INVENTORY)

    await shop.isolate()
    await shop.start(ORDER)
    await shop.place("told by order's outbox", PAID, line, keyed=True)
    await shop.place("cancelled, told by order's outbox", CANCELLED, line)
    await shop.cancel("cancelled, told by order's outbox")
    await shop.system.kill(ORDER)

    await shop.isolate()
    shop.arm(ORDER, "committed-before-publish:place_orders")
    await shop.start(ORDER, ORDER_EXPIRES_AFTER_SECONDS="2")
    await shop.place_unanswered("expired while nothing ran", EXPIRED, line, uuid4())
    await shop.dies(ORDER)

    async def expired() -> bool:
        query = "SELECT min(expires_at) < now() FROM orders.orders WHERE id = $1"
        return bool(await shop.database.fetchval(query, shop.id_of("expired while nothing ran")))

    await eventually(expired)
