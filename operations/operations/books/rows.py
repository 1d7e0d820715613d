"""The rules of the books for the rows that are kept of one order: what each says by itself, and what the reservation
and the payment, which copy the order's terms, say of the order. Each complaint has the order as its subject.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from chassis.ports.tracing import trace_id

Row = Mapping[str, Any]

LOST = "lost-in-restore"
"""Why an order is failed that `reconcile` had entered after a restore. Others may know more of it than it does."""
OPEN = frozenset({"pending", "confirmed"})
FINAL = frozenset({"completed", "failed", "cancelled"})
UNDONE = frozenset({"failed", "cancelled"})
UNDER_WAY = frozenset({"pending", "processing", "refunding"})
"""Payments that the gateway is, or will be, asked about."""
NOTES = ("InventoryReleased", "PaymentRefunded")
CLOCKS_DIFFER_BY = timedelta(minutes=2)
"""Nothing is later than this from now, unless it was not written by the services."""
_LONGEST_WAIT = timedelta(minutes=2)
"""The gateway is asked again within a minute of an answer that was none."""
_LONGEST_INTERVAL = timedelta(minutes=2)
"""Between two reminders of an open order."""
_CANCELLED_FOR = ("cancelled-by-customer", "cancelled-by-staff")
_PAYMENT_FAILS_FOR = ("payment-declined", "payment-retries-exhausted")
_TRANSITIONS = {
    ("pending", "confirmed"),
    ("confirmed", "completed"),
    *((open_state, undone) for open_state in OPEN for undone in UNDONE),
}
_STATUS_AFTER = {
    "OrderCreated": "pending",
    "OrderConfirmed": "confirmed",
    "OrderCompleted": "completed",
    "OrderFailed": "failed",
    "OrderCancelled": "cancelled",
}


def payment_id(order_id: UUID) -> UUID:
    """The id of the order's payment: a UUIDv7 of the order's time, drawn from the order's id (decision 15)."""
    drawn = int.from_bytes(hashlib.sha256(f"payment:{order_id}".encode()).digest()[:10])
    time = order_id.int >> 80
    return UUID(int=time << 80 | 7 << 76 | drawn >> 68 << 64 | 2 << 62 | drawn % (1 << 62))


def of_order(order: Row, reservation: Row | None, payment: Row | None, now: datetime) -> Iterator[str]:
    """What is wrong in the order's own row, or in its reason, which the others must share."""
    yield from of_timeline(order)
    yield from _of_times("it", order, now)
    if not order["items"] and order["reason"] != LOST:
        yield "it has no lines"
    total = sum((line["quantity"] * Decimal(line["price"]) for line in order["items"]), Decimal(0))
    if order["items"] and total != order["total_amount"]:
        yield f"its lines make {total}, but its total is {order['total_amount']}"
    due_at = order["expires_at"] if order["status"] in OPEN else None
    if order["due_at"] != due_at:
        yield f"it is {order['status']} and to be looked at {order['due_at']}, and should be {due_at}"
    if order["status"] in OPEN and order["remind_at"] is None and order["expires_at"] > now + _LONGEST_INTERVAL:
        yield f"it is {order['status']}, but asks nobody any more"
    yield from _of_reason(order, reservation, payment)


def of_reservation(order: Row, reservation: Row, items: Mapping[UUID, Row], now: datetime) -> Iterator[str]:
    """What its reservation has otherwise than the order, or could not have."""
    yield from _of_copy("reservation", order, reservation, now)
    status = reservation["status"]
    if status == "held" and reservation["remind_at"] is None:
        yield "its reservation is held, but asks nobody any more"
    if status in ("held", "sold", "void") and reservation["reason"] is not None:
        yield f"its reservation is {status}, and yet for the reason {reservation['reason']}"
    if status == "released" and reservation["reason"] != order["reason"] != LOST:
        yield f"its reason is {order['reason']}, but its reservation was released for {reservation['reason']}"
    if status != "void" and (reservation["total_amount"], reservation["currency"]) != (
        order["total_amount"],
        order["currency"],
    ):
        yield (
            f"it is worth {order['total_amount']} {order['currency']}, "
            f"but its reservation is for {reservation['total_amount']} {reservation['currency']}"
        )
    if status != "void" and _lines(reservation) != _lines(order):
        yield f"it is for {order['items']}, but its reservation is for {reservation['items']}"
    if status in ("held", "sold", "released"):
        yield from _of_prices(order, reservation, items)


def _of_prices(order: Row, reservation: Row, items: Mapping[UUID, Row]) -> Iterator[str]:
    """Lines that were held at another price than the shop's. What a product cost before its price last changed, the
    books don't know."""
    for product, _, price in _lines(reservation):
        item = items.get(UUID(product))
        if item is None or (item["priced_at"] is not None and item["priced_at"] >= reservation["created_at"]):
            continue
        if item["price"] not in (None, price):
            yield f"product {product} was held for it at {price}, but costs {item['price']} since {item['priced_at']}"
        if item["price"] is None and not order["price_trusted"]:
            yield f"product {product} was held for it at a price that is not trusted, and has none itself"


def of_payment(order: Row, payment: Row, now: datetime) -> Iterator[str]:
    """What its payment has otherwise than the order, or could not have."""
    yield from _of_copy("payment", order, payment, now)
    status, reason = payment["status"], payment["reason"]
    if payment["id"] != payment_id(order["id"]):
        yield f"its payment is {payment['id']}, and should be {payment_id(order['id'])}"
    if status != "void" and (payment["amount"], payment["currency"]) != (order["total_amount"], order["currency"]):
        yield (
            f"it is worth {order['total_amount']} {order['currency']}, "
            f"but its payment is of {payment['amount']} {payment['currency']}"
        )
    if status in ("pending", "processing", "completed", "void") and reason is not None:
        yield f"its payment is {status}, and yet for the reason {reason}"
    if status == "failed" and reason not in _PAYMENT_FAILS_FOR:
        yield f"its payment failed for {reason}, which fails none"
    undone = payment["undone_reason"] or (reason if status in ("cancelled", "refunding", "refunded") else None)
    if undone is not None and undone != order["reason"] != LOST:
        yield f"it is {order['status']} for {order['reason']}, but its payment was undone for {undone}"
    yield from _of_attempts(payment)
    yield from _of_due(payment, now)


def _of_attempts(payment: Row) -> Iterator[str]:
    """Whether the gateway was asked as often as the status says, and under which keys."""
    status, attempts, number = payment["status"], payment["attempts"], payment["charge_number"]
    unknown, asked = payment["outcome_unknown"], payment["lease"] is not None
    if not 1 <= number <= attempts + 1:
        yield f"its payment is at charge {number} after {attempts} attempt(s)"
    if not attempts and status in ("processing", "completed", "failed"):
        yield f"its payment is {status}, though the gateway was never asked"
    if attempts and status in ("pending", "void"):
        yield f"its payment is {status}, though the gateway was asked {attempts} time(s)"
    if unknown and status != "processing":
        yield f"its payment is {status}, though nobody knows whether it was charged"
    if asked and (status not in ("processing", "refunding") or (status == "processing" and not unknown)):
        yield f"its payment is {status}, and yet the gateway is being asked for it"


def _of_due(payment: Row, now: datetime) -> Iterator[str]:
    status, due_at = payment["status"], payment["due_at"]
    if status in UNDER_WAY and due_at is None:
        yield f"its payment is {status}, but nothing will ask the gateway for it any more"
    if status not in UNDER_WAY and status != "void" and due_at is not None:
        yield f"its payment is {status}, but the gateway is to be asked for it"
    if (status == "refunding" or payment["outcome_unknown"]) and due_at is not None and due_at > now + _LONGEST_WAIT:
        yield f"its payment is {status}, but the gateway will not be asked for it before {due_at}"


def of_timeline(order: Row) -> Iterator[str]:
    """What is not as the order's state machine would have written it."""
    timeline = order["timeline"]
    events = [entry["event"] for entry in timeline]
    if not events or events[0] != "OrderCreated":
        yield "its timeline does not begin with OrderCreated"
        return
    status = "pending"
    if timeline[0]["status"] != status:
        yield f"its timeline begins with {timeline[0]['status']}"
    for entry in timeline[1:]:
        event = entry["event"]
        if event in NOTES:
            if entry["status"] != status or status not in UNDONE:
                yield f"its timeline has {event} while it was {entry['status']}"
            continue
        if _STATUS_AFTER.get(event) != entry["status"] or (status, entry["status"]) not in _TRANSITIONS:
            yield f"its timeline goes from {status} to {entry['status']} by {event}"
        status = entry["status"]
    for entry in timeline:
        reason = order["reason"] if entry["status"] in FINAL else None
        if entry["event"] not in NOTES and entry["reason"] != reason:
            yield f"its reason is {reason} once it is {entry['status']}, but its timeline says {entry['reason']}"
    if status != order["status"]:
        yield f"it is {order['status']}, but its timeline ends with {status}"
    for event, times in Counter(events).items():
        if times > 1:
            yield f"its timeline has {event} {times} times"
    moments = [order["created_at"], *(datetime.fromisoformat(entry["at"]) for entry in timeline), order["updated_at"]]
    if moments != sorted(moments):
        yield "its timeline is not in the order of its times"


def _of_reason(order: Row, reservation: Row | None, payment: Row | None) -> Iterator[str]:
    """An order that failed for want of stock or money must find both services of the same opinion."""
    status, reason = order["status"], order["reason"]
    if status != "failed":
        if reason not in (_CANCELLED_FOR if status == "cancelled" else (None,)):
            yield f"it is {status} for the reason {reason}"
    elif reason == "expired":
        ends = [datetime.fromisoformat(entry["at"]) for entry in order["timeline"] if entry["event"] == "OrderFailed"]
        if any(end < order["expires_at"] for end in ends):
            yield f"it is expired, though its time was not up before {order['expires_at']}"
    elif reason in _PAYMENT_FAILS_FOR:
        # What failed is refunded all the same once the gateway's report says that it was charged (`reconcile`).
        opinion = payment and payment["status"] in ("failed", "refunding", "refunded") and payment["reason"]
        if opinion != reason:
            yield f"it failed ({reason}), but its payment is not failed for that reason"
    elif reason != LOST:
        opinion = reservation and reservation["status"] == "refused" and reservation["reason"]
        if reason is None or opinion != reason:
            yield f"it failed ({reason}), but its reservation was not refused for that reason"


def _of_copy(what: str, order: Row, row: Row, now: datetime) -> Iterator[str]:
    if row["customer_id"] != order["customer_id"]:
        yield f"it is of customer {order['customer_id']}, but its {what} of customer {row['customer_id']}"
    # An order that was lost may have been entered from the gateway's report, which knows neither. And the deadline of
    # one that is expired may have been brought forward by hand.
    if row["expires_at"] != order["expires_at"] and order["reason"] not in (LOST, "expired"):
        yield f"its time is up {order['expires_at']}, but that of its {what} {row['expires_at']}"
    if trace_id(row["traceparent"]) != trace_id(order["traceparent"]) and order["reason"] != LOST:
        yield f"its {what} bears another trace"
    yield from _of_times(f"its {what}", row, now)


def _of_times(name: str, row: Row, now: datetime) -> Iterator[str]:
    if not row["created_at"] <= row["updated_at"] <= now + CLOCKS_DIFFER_BY:
        yield f"{name} was made {row['created_at']} and changed {row['updated_at']}"


def _lines(row: Row) -> list[tuple[str, int, Decimal]]:
    return [(line["product_id"], line["quantity"], Decimal(line["price"])) for line in row["items"] or ()]
