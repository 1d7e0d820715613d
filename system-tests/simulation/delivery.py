"""RabbitMQ in motion: messages are published, routed, delayed, delivered in batches, acknowledged, given back."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from chassis.messaging.envelope import BATCH, SINGLE, join
from chassis.messaging.topology import EXCHANGE
from chassis.ports.events import routing_key

from simulation.fleet import Node
from simulation.rabbit import Stored, queues, route, waits_for
from simulation.scenario import ACK_FAULTS, PUBLISH_FAULTS, QUEUE_FAULTS, SERVICES
from simulation.wire import SECOND, Ack, Effect, Publish

if TYPE_CHECKING:
    from simulation.driver import Driver

POISONED = "poison"
"""The routing key of what is put into a queue to be dead-lettered."""
DEAD_LETTERED_AGAIN_AFTER = 180 * SECOND
OLD_EVENTS_SENT_AGAIN = 6
MOST_DELIVERIES = 50
"""The queues' delivery limit: a message that is delivered more often has ended up with the dead letters."""
POISON: tuple[tuple[bytes, str | None], ...] = (
    (b"this is not JSON", SINGLE),
    (b"{}", SINGLE),
    (b"[]", BATCH),
    (b"{}", "text/plain"),
    (
        b'{"specversion":"1.0","id":"018f5a3c-0000-7000-8000-000000000000","type":"Nonsense","source":"x","subject":"x"}',
        SINGLE,
    ),
)


class Delivery:
    def __init__(self, driver: "Driver", bindings: tuple[tuple[str, str], ...]) -> None:
        self._driver = driver
        self.waiting: dict[str, list[Stored]] = {service: [] for service in SERVICES}
        self.dead_letters: list[tuple[str, str]] = []
        """Reason and detail."""
        self.poisoned = 0
        """How many messages of ours ought to end as dead letters, once or, after a crash, more than once."""
        self._bindings = bindings
        self.lost: set[tuple[str, str]] = set()
        """Service and id of each event that the broker took and forgot: nobody can expect its effect."""
        self._history: list[Stored] = []
        self._declared = set(queues())
        """The queues that there are: all that were there from the beginning, or those of who has connected since."""
        self._deleted_until: dict[str, int] = dict.fromkeys(SERVICES, 0)
        self._in_retry: list[Stored] = []
        self._wipes = 0
        self.handlers: dict[type[Effect], Callable[[Node, Any], None]] = {
            Publish: self._published,
            Ack: self._acknowledged,
        }
        for group in (PUBLISH_FAULTS, ACK_FAULTS, QUEUE_FAULTS):
            driver.trouble.expect(group)

    def _published(self, node: Node, message: Publish) -> None:
        driver = self._driver
        names = driver.witness.published(node, message)
        way = f"{message.routing_key} {names}"
        fault = driver.trouble.strikes(PUBLISH_FAULTS, node.service)
        kind = fault.kind if fault else ""
        if driver.telling:
            driver.tell(f"publishes {message.routing_key}: {names}", node)
        driver.note("messages")

        def answer(outcome: str) -> Callable[[], None]:
            return lambda: driver.do(node.service, "answer", message.call, outcome)

        wipes = self._wipes

        def arrive() -> None:
            if self._wipes > wipes:  # the connection that it was written to is gone, and with it the message
                return
            stored = Stored(message.body, message.content_type, message.routing_key, message.headers)
            taken_by = self._route(message.exchange, message.routing_key)
            for queue in taken_by:
                self._enqueue(queue, stored.copy())
            if message.exchange == EXCHANGE and taken_by:
                self._history.append(stored)
                driver.witness.arrived(message, taken_by)
                for queue in {*self._bound(EXCHANGE, message.routing_key)} - {*taken_by}:
                    self._forget(queue, stored)  # its service has not connected since the broker was wiped
            if kind == "crash after publish":
                driver.fleet.crash(node, kind)
            elif kind == "confirm lost":
                driver.after(driver.network(f"confirm {way}"), answer("lost"))
            else:
                driver.after(driver.network(f"confirm {way}"), confirm(bool(taken_by)))

        def confirm(taken: bool) -> Callable[[], None]:
            def act() -> None:
                answer("confirmed" if taken else "unroutable")()
                if kind == "crash after confirm":
                    driver.fleet.crash(node, kind)

            return act

        if kind == "crash before publish":
            driver.at(driver.now, lambda: driver.fleet.crash(node, kind))
        elif kind in ("message lost", "nacked"):
            driver.after(driver.network(f"confirm {way}"), answer(kind))
        else:
            driver.after(driver.network(f"publish {way}"), arrive)

    def _enqueue(self, queue: str, message: Stored) -> None:
        driver = self._driver
        if queue.endswith(".dlq"):
            self.dead_letters.append((str(message.headers.get("x-reason")), str(message.headers.get("x-error"))))
        elif (micros := waits_for(queue)) is not None:
            self._in_retry.append(message)
            message.routing_key = queues()[queue]["x-dead-letter-routing-key"]
            driver.after(micros, lambda: self._back_from_retry(message))
        else:
            fault = driver.trouble.strikes(QUEUE_FAULTS, queue)
            delay = 0
            if fault is not None and fault.kind == "forgotten":
                self._forget(queue, message)
                return
            if fault is not None and fault.kind == "duplicated":
                self._deliver_later(queue, message.copy(), fault.lasts)
            elif fault is not None:  # delayed, or set aside as a dead letter and sent back by a person
                delay = fault.lasts
            self._deliver_later(queue, message, delay)

    def _forget(self, queue: str, message: Stored) -> None:
        self.lost |= {(queue, event_id) for event_id in self._driver.witness.ids(message.body)}

    def wipe(self) -> None:
        """The broker dies, and comes back with an empty disk: no message is left, and no queue until its service has
        connected again and declared it."""
        for service in SERVICES:
            self._empty(service)
        for message in self._in_retry:
            self._forget(message.routing_key, message)
        self._in_retry.clear()
        self._declared.clear()
        self.dead_letters.clear()
        self.poisoned = 0
        self._wipes += 1

    def delete(self, service: str, lasts: int) -> None:
        """The service's queue is deleted, and it takes so long until one of its processes declares it again."""
        self._empty(service)
        self._declared.discard(service)
        self._deleted_until[service] = self._driver.now + lasts
        self._driver.after(lasts, lambda: self._declare(service))

    def _empty(self, service: str) -> None:
        """What was in the service's queue is gone, and what its processes have in hand can't be acknowledged."""
        nodes = self._driver.fleet.nodes[service]
        for message in [*self.waiting[service], *(message for node in nodes for message in node.unacked.values())]:
            self._forget(service, message)
            self.poisoned -= message.routing_key == POISONED
        self.waiting[service].clear()
        for node in nodes:
            node.unacked.clear()
            node.void_tags = node.tags
            self._driver.fleet.disconnect(node)

    def _declare(self, service: str) -> None:
        if self._deleted_until[service] <= self._driver.now and any(
            node.connected for node in self._driver.fleet.nodes[service]
        ):
            self._declared.add(service)
            self._deliver(service)

    def _back_from_retry(self, message: Stored) -> None:
        if not any(waiting is message for waiting in self._in_retry):
            return
        if not self._route("", message.routing_key):  # at least once: it waits until its queue is there
            self._driver.after(DEAD_LETTERED_AGAIN_AFTER, lambda: self._back_from_retry(message))
            return
        self._in_retry = [waiting for waiting in self._in_retry if waiting is not message]
        for queue in self._route("", message.routing_key):
            self._enqueue(queue, message)

    def _deliver_later(self, queue: str, message: Stored, delay: int) -> None:
        driver = self._driver
        arrives = driver.now + delay + driver.network(f"{queue} {driver.witness.names(message.body)}")
        grid = driver.scenario.grid
        message.ready_at = -(-arrives // grid) * grid
        self.waiting[queue].append(message)
        driver.at(message.ready_at, lambda: self._deliver(queue))

    def _deliver(self, queue: str) -> None:
        """Hands what is ready to whoever consumes, each consumer's share as one batch."""
        driver = self._driver
        consumers = [node for node in driver.fleet.nodes[queue] if node.alive and node.connected]
        ready = [message for message in self.waiting[queue] if message.ready_at <= driver.now]
        if not consumers or not ready:
            return
        self.waiting[queue] = [message for message in self.waiting[queue] if message.ready_at > driver.now]
        driver.dice(f"order of {queue}").shuffle(ready)
        shares: dict[int, list[tuple[Any, ...]]] = {}
        for message in ready:
            node = driver.dice(f"consumer {queue} {driver.witness.names(message.body)}").choice(consumers)
            node.tags += 1
            message.deliveries += 1
            node.unacked[node.tags] = message
            shares.setdefault(node.replica, []).append(
                (node.tags, message.body, message.content_type, message.routing_key, message.headers)
            )
            if message.deliveries > MOST_DELIVERIES:
                driver.broken("delivered too often", f"A message in {queue} was delivered {message.deliveries} times.")
        for replica, share in shares.items():
            if driver.telling:
                names = ", ".join(driver.witness.names(body) for _, body, *_ in share)
                driver.tell(f"is delivered: {names}", driver.fleet.nodes[queue][replica])
            driver.do(queue, "deliver", replica, share)

    def _acknowledged(self, node: Node, ack: Ack) -> None:
        driver = self._driver
        fault = driver.trouble.strikes(ACK_FAULTS, node.service)
        if fault is not None and fault.kind == "crash before ack":
            driver.at(driver.now, lambda: driver.fleet.crash(node, fault.kind))
            return
        if ack.tag <= node.void_tags:
            return
        if ack.tag not in node.unacked:
            driver.broken("unknown tag", f"{node} acknowledged a message that it does not have.")
        for tag in [tag for tag in node.unacked if tag <= ack.tag]:
            del node.unacked[tag]
        if fault is not None:
            driver.at(driver.now, lambda: driver.fleet.crash(node, fault.kind))

    def give_back(self, node: Node) -> None:
        """What a process was given and did not acknowledge goes back to its queue."""
        for message in node.unacked.values():
            self._deliver_later(node.service, message, 0)
        node.unacked.clear()

    def attached(self, node: Node) -> None:
        """The process has declared what it needs, and consumes."""
        self._declared |= {queue for queue in queues() if queue.startswith(f"{node.service}.")}
        self._driver.at(self._driver.now, lambda: self._declare(node.service))

    def poison(self, service: str) -> None:
        """A message that can't be read, alone or next to an event that can."""
        dice = self._driver.dice("poison")
        body, content_type = dice.choice(POISON)
        good = [event for message in self._history_of(service) for event in _events(message)]
        headers: dict[str, str | int] = {}
        if content_type == SINGLE and body.startswith(b"{") and good and dice.random() < 0.5:
            neighbour = dice.choice(good)
            headers["x-routing-key"] = routing_key(orjson.loads(neighbour)["type"])
            body, content_type = join([body, neighbour])
        self.poisoned += 1
        self._deliver_later(service, Stored(body, content_type, POISONED, headers), 0)

    def regroup(self, service: str) -> None:
        """Events that were sent before come again, in messages of another composition."""
        dice = self._driver.dice("regroup")
        by_key: dict[str, list[bytes]] = {}
        for message in self._history_of(service):
            by_key.setdefault(message.routing_key, []).extend(_events(message))
        for key, events in by_key.items():
            dice.shuffle(events)
            while events:
                size = dice.randint(1, len(events))
                batch, events = events[:size], events[size:]
                self._deliver_later(service, Stored(*join(batch), key), dice.randrange(SECOND))

    def send_old_events_again(self) -> None:
        for service in SERVICES:
            dice = self._driver.dice(f"old {service}")
            old = self._history_of(service)
            for message in dice.sample(old, min(len(old), OLD_EVENTS_SENT_AGAIN)):
                self._deliver_later(service, message.copy(), dice.randrange(10 * SECOND))

    def _history_of(self, service: str) -> list[Stored]:
        return [message for message in self._history if service in self._route(EXCHANGE, message.routing_key)]

    def readers_of(self, routing_key: str) -> tuple[str, ...]:
        return self._route(EXCHANGE, routing_key)

    def _route(self, exchange: str, routing_key: str) -> tuple[str, ...]:
        return tuple(queue for queue in self._bound(exchange, routing_key) if queue in self._declared)

    def _bound(self, exchange: str, routing_key: str) -> tuple[str, ...]:
        """The queues that take such a message, where they are declared."""
        more = tuple(queue for key, queue in self._bindings if (exchange, key) == (EXCHANGE, routing_key))
        return route(exchange, routing_key) + more

    def left_over(self) -> dict[str, int]:
        """What still lies anywhere, by queue."""
        unacked = {str(node): len(node.unacked) for node in self._driver.fleet.all()}
        left = {queue: len(messages) for queue, messages in self.waiting.items()} | unacked
        left["the retry queues"] = len(self._in_retry)
        return {name: number for name, number in left.items() if number}


def _events(message: Stored) -> list[bytes]:
    document = orjson.loads(message.body)
    return [orjson.dumps(event) for event in (document if isinstance(document, list) else [document])]
