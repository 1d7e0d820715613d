"""Watches the run: what was committed, published and told, and whether each step was a legal one."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from chassis.messaging.topology import EXCHANGE
from chassis.ports.tracing import trace_id

from simulation.clients import customer_id, trace_of
from simulation.database import as_micros
from simulation.fleet import Node
from simulation.scenario import INVENTORY, ORDER, PAYMENT, SERVICES
from simulation.wire import SECOND, Committed, Effect, Publish, Told

if TYPE_CHECKING:
    from simulation.driver import Driver

LEGAL: dict[str, set[tuple[str, str]]] = {
    ORDER: {
        ("", "pending"),
        ("pending", "confirmed"),
        ("pending", "completed"),
        ("confirmed", "completed"),
        ("pending", "failed"),
        ("confirmed", "failed"),
        ("pending", "cancelled"),
        ("confirmed", "cancelled"),
    },
    INVENTORY: {("", "held"), ("", "refused"), ("", "void"), ("held", "sold"), ("held", "released"), ("void", "")}
    # An OrderCreated and the decision on it may come in one batch.
    | {("", "released")},
    PAYMENT: {
        ("", "processing"),
        ("", "pending"),
        ("", "void"),
        ("", "cancelled"),
        ("void", ""),
        ("pending", "processing"),
        ("pending", "cancelled"),
        ("processing", "completed"),
        ("processing", "failed"),
        ("processing", "cancelled"),
        ("processing", "refunding"),
        ("completed", "refunding"),
        ("refunding", "refunded"),
    },
}
"""Transitions as one commit shows them: a transaction may take several steps of section 3 of the design at once."""

_DECISIONS = ("OrderFailed", "OrderCancelled")
IMPOSSIBLE_AFTER: dict[tuple[str, str], tuple[str, ...]] = {
    (ORDER, "InventoryReserved"): ("pending",),
    (ORDER, "InventoryUnavailable"): ("pending", "confirmed"),
    (ORDER, "PaymentProcessed"): ("pending", "confirmed"),
    (ORDER, "PaymentFailed"): ("pending", "confirmed"),
    (INVENTORY, "OrderCreated"): ("",),
    (INVENTORY, "OrderCompleted"): ("held", "released", "refused", "void", ""),
    **{(INVENTORY, decision): ("held", "sold", "") for decision in _DECISIONS},
    (PAYMENT, "InventoryReserved"): ("",),
    **{(PAYMENT, decision): ("pending", "completed", "") for decision in _DECISIONS},
}
"""How an order, a reservation or a payment can't stand any more once its service has taken in that event."""

REMINDERS_OF_THE_OPEN = ("OrderCreated", "InventoryReserved")
QUIET_AFTER = 3600 * SECOND
"""After the last fault. From then on only decisions are repeated, of orders that had nothing to be undone."""


class Witness:
    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        self.committed: set[str] = set()
        """Ids of the events that some transaction put into an outbox."""
        self.reached_the_broker: set[str] = set()
        self.to_be_taken: set[tuple[str, str]] = set()
        """Service and id of each event that came into a service's queue."""
        self.events: dict[str, dict[str, Any]] = {}
        """Every event that was ever published, by id."""
        self.statuses: dict[str, dict[str, str]] = {service: {} for service in SERVICES}
        """The status of each order, reservation and payment, by service and order id."""
        self.taken: dict[str, set[str]] = {service: set() for service in SERVICES}
        """Ids of the events that took effect, by service."""
        self.undone_at: dict[str, int] = {}
        """When payment-service first took in that an order is undone."""
        self.told: Counter[tuple[str, str]] = Counter()
        """By customer and subject."""
        self._numbers = {customer_id(place.number): place.number for place in driver.scenario.places}
        self._names: dict[str, str] = {}
        self.handlers: dict[type[Effect], Callable[[Node, Any], None]] = {
            Committed: self._saw_commit,
            Told: self._saw_told,
        }

    def _saw_commit(self, node: Node, commit: Committed) -> None:
        self.committed.update(commit.events)
        self.taken[node.service].update(commit.taken)
        self._driver.note("commits")
        for order, before, after in commit.changes:
            self.statuses[node.service][order] = after
            if (before, after) not in LEGAL[node.service]:
                self._driver.broken(
                    "illegal transition",
                    f"{node.service} took {self.name_of(order)} from {before or 'nothing'} to {after or 'nothing'}.",
                )
        for event_id in commit.taken:
            self._check_effect(node.service, event_id)
        if self._driver.telling and commit.changes:
            steps = [
                f"{self.name_of(order)} {before or '-'} -> {after or '-'}" for order, before, after in commit.changes
            ]
            self._driver.tell(f"commits: {', '.join(steps)}", node)

    def _check_effect(self, service: str, event_id: str) -> None:
        """Whether its order, reservation or payment stands as it must once this event has been taken in."""
        event = self.events[event_id]
        if service == PAYMENT and event["type"] in _DECISIONS:
            self.undone_at.setdefault(event["subject"], self._driver.now)
        impossible = IMPOSSIBLE_AFTER.get((service, event["type"]), ())
        status = self.statuses[service].get(event["subject"], "")
        if status in impossible:
            name = f"{event['type']} of {self.name_of(event['subject'])}"
            self._driver.broken("no effect", f"{service} took in {name}, but has it as {status or 'nothing'}.")

    def _saw_told(self, node: Node, told: Told) -> None:
        self.told[told.customer, told.subject] += 1
        self._driver.tell(f"tells the customer of order {self._numbers.get(told.customer)}: {told.subject}", node)

    def count(self) -> None:
        """How the run's orders, reservations and payments stand."""
        for service, kind in ((ORDER, "orders"), (INVENTORY, "reservations"), (PAYMENT, "payments")):
            for status in self.statuses[service].values():
                self._driver.note(f"{kind} {status}")

    def deadline(self, order: str) -> int:
        """In microseconds, like all times of the run."""
        expires_at = next(
            event["data"]["expires_at"]
            for event in self.events.values()
            if event["subject"] == order and event["type"] == "InventoryReserved"
        )
        return as_micros(datetime.fromisoformat(expires_at))

    def published(self, node: Node, message: Publish) -> str:
        """Checks the events of a message; returns their names."""
        documents = _documents(message.body)
        if message.exchange == EXCHANGE:
            for document in documents:
                self._check(node, document)
        return self._in_words(documents)

    def _check(self, node: Node, event: dict[str, Any]) -> None:
        event_id, data = event["id"], event["data"]
        number = self._numbers.get(data["customer_id"])
        self._names.setdefault(event["subject"], f"order {number}")
        name = f"{event['type']} of {self.name_of(event['subject'])}"
        if event_id not in self.committed:
            self._driver.broken("published uncommitted", f"{node.service} published {name}, which was never committed.")
        if number is None or trace_id(event["traceparent"]) != trace_of(number):
            self._driver.broken("trace", f"{name} bears the trace {event['traceparent']}, which is not its order's.")
        if event.get("repeat"):
            self._driver.note(f"repeats {event['type']}")
            since = self._driver.now - self._driver.scenario.faults_end
            if since > QUIET_AFTER and event["type"] in REMINDERS_OF_THE_OPEN:
                self._driver.broken("asked again", f"{name} was said again an hour after all had gone well.")
        known = self.events.setdefault(event_id, event)
        if known != event:
            self._driver.broken("one id, two events", f"{name} was published in two versions under the id {event_id}.")

    def arrived(self, message: Publish, queues: tuple[str, ...]) -> None:
        ids = self.ids(message.body)
        self.reached_the_broker.update(ids)
        self.to_be_taken.update((queue, event_id) for queue in queues for event_id in ids)

    def ids(self, body: bytes) -> list[str]:
        return [str(document.get("id")) for document in _documents(body)]

    def names(self, body: bytes) -> str:
        return self._in_words(_documents(body))

    def _in_words(self, documents: list[dict[str, Any]]) -> str:
        return ", ".join(f"{d.get('type')} of {self.name_of(str(d.get('subject')))}" for d in documents) or "nothing"

    def name_of(self, order: str) -> str:
        return self._names.get(order, order)

    def readable(self, sentence: str) -> str:
        for order, name in self._names.items():
            sentence = sentence.replace(f"order {order}", name).replace(f"Order {order}", name.capitalize())
        return sentence


@lru_cache(maxsize=512)
def _documents(body: bytes) -> list[dict[str, Any]]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    return [one for one in (document if isinstance(document, list) else [document]) if isinstance(one, dict)]
