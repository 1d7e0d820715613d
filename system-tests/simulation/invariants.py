"""What must hold when all is quiet: the promise of the design, order by order, product by product."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from simulation.clients import customer_id, product_id
from simulation.database import as_micros
from simulation.scenario import INVENTORY, NOTIFICATION, ORDER, PAYMENT
from simulation.wire import SECOND

if TYPE_CHECKING:
    from simulation.driver import Driver

Row = dict[str, Any]
FINAL = ("completed", "failed", "cancelled")
HOLD_AFTER = {
    "completed": {"sold"},
    "failed": {"released", "refused", "void", "absent"},
    "cancelled": {"released", "refused", "void", "absent"},
}
PAYMENT_AFTER = {
    "completed": {"completed"},
    "failed": {"failed", "cancelled", "refunded", "void", "absent"},
    "cancelled": {"failed", "cancelled", "refunded", "void", "absent"},
}
END_TOLD_AS = {"completed": "Order completed", "failed": "Order failed", "cancelled": "Order cancelled"}
DECISIONS = ("OrderCompleted", "OrderFailed", "OrderCancelled")
POISON_REASONS = {"not-json", "not-cloudevents", "empty-batch", "unsupported-content-type", "unknown-type"}
CHARGES = 4
"""How many a payment has by default, the first and the retries."""
ENOUGH_TO_HEAL = 300 * SECOND
"""An order that still has so much time when the last fault ends is completed, if stock and gateway allow it."""
Found = Iterator[tuple[str, str]]


def at_rest(driver: "Driver", seen: dict[str, Any]) -> Found:
    """Each violation's rule and sentence."""
    orders: dict[str, Row] = {row["order"]: row for row in seen[ORDER]["rows"]}
    reservations: dict[str, Row] = {row["order"]: row for row in seen[INVENTORY]["rows"] if "order" in row}
    items: dict[str, Row] = {row["product"]: row for row in seen[INVENTORY]["rows"] if "product" in row}
    payments: dict[str, Row] = {row["order"]: row for row in seen[PAYMENT]["rows"]}
    for service, what in seen.items():
        if what["outbox"]:
            yield "outbox", f"The outbox of {service} still keeps {', '.join(what['outbox'])}."
    yield from _of_messages(driver)
    yield from _of_clients(driver, orders)
    for order in orders.values():
        yield from _of_order(driver, order, reservations.get(order["order"]), payments.get(order["order"]))
    for kind, rows in (("reservation", reservations), ("payment", payments)):
        for order_id in rows.keys() - orders.keys():
            yield "stranger", f"There is a {kind} for {order_id}, which is no order."
    for order_id in driver.checkout.bank.accounts.keys() - orders.keys():
        yield "stranger", f"The gateway was asked to charge for {order_id}, which is no order."
    yield from _of_stock(driver, reservations, items)
    yield from _of_prices(driver, orders, reservations)


def _of_messages(driver: "Driver") -> Found:
    for queue, number in driver.delivery.left_over().items():
        yield "left over", f"{number} message(s) are left in {queue}."
    letters = driver.delivery.dead_letters
    for reason, detail in letters:
        if reason not in POISON_REASONS:
            yield "dead letters", f"An event is a dead letter: {reason}, {detail}."
    if len(letters) < driver.delivery.poisoned:
        yield "dead letters", f"{driver.delivery.poisoned} message(s) were poison, but dead letters are {len(letters)}."
    for event_id in sorted(driver.witness.committed - driver.witness.reached_the_broker):
        yield "lost event", f"The event {event_id} was committed, but never reached the broker."
    for service, event_id in sorted(driver.witness.to_be_taken - driver.delivery.lost):
        if event_id not in driver.witness.taken[service]:
            event = driver.witness.events[event_id]["type"]
            yield "event without effect", f"{event} ({event_id}) reached the queue of {service}, but never took effect."


def _of_clients(driver: "Driver", orders: dict[str, Row]) -> Found:
    of_customer = Counter(order["customer"] for order in orders.values())
    for place in driver.scenario.places:
        ids = driver.clients.placed.get(place.number, set())
        for order_id in ids - orders.keys():
            yield "lost order", f"Order {place.number} was accepted as {order_id}, but does not exist."
        made = of_customer[customer_id(place.number)]
        if made > 1 and place.keyed:
            yield "two orders", f"Order {place.number} was placed under one idempotency key, but there are {made}."
        if place.keyed and not ids:
            yield "lost order", f"Order {place.number} was asked for again and again, and never accepted."
    for number, outcome in driver.clients.cancelled.items():
        status = orders[min(driver.clients.placed[number])]["status"]
        if (outcome == "ok") != (status == "cancelled"):
            yield "cancel", f"Order {number} is {status}, but its cancel was answered with {outcome}."


def _of_order(driver: "Driver", order: Row, reservation: Row | None, payment: Row | None) -> Found:
    name, status = driver.witness.name_of(order["order"]).capitalize(), order["status"]
    if status not in FINAL:
        yield "not final", f"{name} is {status}, which is not final."
        return
    held, paid = (reservation["status"] if reservation else "absent"), (payment["status"] if payment else "absent")
    if driver.scenario.afterwards:  # tombstones may have been pruned since
        held, paid = (held if held != "void" else "absent"), (paid if paid != "void" else "absent")
    if held not in HOLD_AFTER[status]:
        yield "reservation", f"{name} is {status}, but its reservation is {held}."
    if paid not in PAYMENT_AFTER[status]:
        yield "payment", f"{name} is {status}, but its payment is {paid}."
    errors = driver.checkout.bank.errors(payment["payment"]) if payment else 0
    if payment is not None and payment["reason"] == "payment-retries-exhausted" and errors < CHARGES:
        yield "retries", f"{name}: its payment failed after {CHARGES} charges, but the gateway refused {errors}."
    if payment is not None and payment["awaited"]:
        yield "payment", f"{name}: its payment is {paid}, but the gateway's answer is still awaited."
    if payment is not None and paid not in ("void", "absent") and payment["amount"] != order["total"]:
        yield "payment", f"{name} is worth {order['total']}, but its payment is of {payment['amount']}."
    undisturbed = as_micros(datetime.fromisoformat(order["expires_at"])) - driver.trouble.last_at
    if order["reason"] == "expired" and undisturbed >= ENOUGH_TO_HEAL:
        yield "expired", f"{name} has expired, though nothing was wrong for the last {undisturbed // SECOND} seconds."
    missing = reservation["shortages"] if reservation and order["reason"] == "out-of-stock" else {}
    if order["shortages"] != missing or (order["reason"] == "out-of-stock" and not missing):
        yield "shortage", f"{name} heard that {order['shortages']} was missing, but inventory found {missing}."
    yield from _of_money(driver, name, order)
    yield from _of_timeline(driver, name, order, held, paid)
    yield from _of_customer(driver, name, order)


def _of_money(driver: "Driver", name: str, order: Row) -> Found:
    """By the gateway's own books."""
    account = driver.checkout.bank.accounts.get(order["order"])
    kept = len(account.charges) - len(account.refunds) if account else 0
    if order["status"] == "completed" and kept != 1:
        yield "money", f"{name} is completed, but the money of {kept} charge(s) is kept for it."
    if order["status"] != "completed" and kept != 0:
        yield "money", f"{name} is {order['status']}, but the money of {kept} charge(s) is kept for it."
    for amount in [*account.charges.values(), *account.refunds.values()] if account else []:
        if amount != order["total"]:
            yield "money", f"{name} is worth {order['total']}, but {amount} were moved."


def _of_timeline(driver: "Driver", name: str, order: Row, held: str, paid: str) -> Found:
    events = [event for event, _ in order["timeline"]]
    for event, times in Counter(events).items():
        if times > 1:
            yield "timeline", f"{name}: its timeline has {event} {times} times."
    status = "pending"
    for event, entered in order["timeline"]:
        if event in ("InventoryReleased", "PaymentRefunded") and status not in ("failed", "cancelled"):
            yield "timeline", f"{name}: its timeline has {event} while it was {status}."
        status = entered
    for event, happened in (("InventoryReleased", held == "released"), ("PaymentRefunded", paid == "refunded")):
        if happened != (event in events):
            said, done = ("not ", "") if happened else ("", " not")
            yield "timeline", f"{name}: {event} is {said}in its timeline, though it did{done} happen."
    decided = [event for event in events if event in DECISIONS]
    if len(decided) != 1:
        yield "timeline", f"{name} was decided {len(decided)} times: {', '.join(decided)}."


def _of_customer(driver: "Driver", name: str, order: Row) -> Found:
    """Told the end, and once; twice only if the process that tells has died in between and forgot, and never if the
    broker has forgotten the news: what is said again is no news."""
    lost = any(
        (NOTIFICATION, event_id) in driver.delivery.lost
        for event_id, event in driver.witness.events.items()
        if event["subject"] == order["order"] and event["type"] in DECISIONS and not event.get("repeat")
    )
    crashed = any(node.life for node in driver.fleet.nodes[NOTIFICATION])
    times = driver.witness.told[order["customer"], END_TOLD_AS[order["status"]]]
    if times == 0 and not lost:
        yield "not told", f"{name} is {order['status']}, but its customer was never told."
    keyed = {customer_id(place.number) for place in driver.scenario.places if place.keyed}
    if times > 1 and not crashed and order["customer"] in keyed:
        yield "told twice", f"{name} is {order['status']}, and its customer was told {times} times."


def _of_prices(driver: "Driver", orders: dict[str, Row], reservations: dict[str, Row]) -> Found:
    """By what the clients asked for, and what the shop was told that its products cost."""
    places = {customer_id(place.number): place for place in driver.scenario.places}
    for order_id, reservation in reservations.items():
        if order_id not in orders or reservation["status"] == "void":
            continue
        place = places[orders[order_id]["customer"]]
        prices = {driver.scenario.prices[n - 1] if n <= len(driver.scenario.prices) else "" for n, _ in place.lines}
        reason = None
        if "" in prices:
            reason = "unknown-product"
        elif not prices <= {None, place.price}:
            reason = "price-changed"
        elif None in prices and not place.trusted:
            reason = "no-price"
        refused_for = reservation["reason"] if reservation["status"] == "refused" else None
        if refused_for != reason and (reason or refused_for != "out-of-stock"):
            what = f"{reservation['status']} ({refused_for})"
            yield "price", f"Order {place.number} is {what}, but what speaks against it is {reason}."


def _of_stock(driver: "Driver", reservations: dict[str, Row], items: dict[str, Row]) -> Found:
    held: Counter[str] = Counter()
    sold: Counter[str] = Counter()
    for reservation in reservations.values():
        for product, quantity in reservation["quantities"].items():
            held[product] += quantity if reservation["status"] == "held" else 0
            sold[product] += quantity if reservation["status"] == "sold" else 0
    for number, initial in enumerate(driver.scenario.stock, start=1):
        item = items[product_id(number)]
        available, reserved = item["available"], item["reserved"]
        if available < 0 or reserved < 0:
            yield "stock", f"Product {number} has {available} available and {reserved} reserved."
        if reserved != held[product_id(number)]:
            yield (
                "stock",
                f"Product {number} has {reserved} reserved, but its reservations add up to {held[product_id(number)]}.",
            )
        changes = [change for change in driver.scenario.changes if change.product == number]
        supply = initial + sum(change.difference for change in changes if change.number in driver.clients.changed)
        if available + reserved + sold[product_id(number)] != supply:
            yield (
                "stock",
                f"Product {number} was supplied with {supply}, but {available} available, {reserved} reserved and "
                f"{sold[product_id(number)]} sold do not add up to it.",
            )
