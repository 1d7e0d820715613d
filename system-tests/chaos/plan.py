"""The plan: which fault befalls what, when and for how long. A function of the seed."""

import random
from dataclasses import dataclass

from operations.addresses import ROLES, SERVICES

SERVERS = ("postgres", "rabbitmq")
INSTANCES = (*SERVICES, *(f"{service}-2" for service in ROLES))
"""Two replicas of each service that has a database."""
TABLES = (
    "orders.orders",
    "orders.outbox",
    "orders.idempotency_keys",
    "inventory.inventory_items",
    "inventory.reservations",
    "inventory.inbox",
    "payments.payments",
    "payments.inbox",
)

LEASE_SECONDS = 30.0
"""Of a payment's attempt: who is paused for longer finds that another has asked in its place."""
PAUSE_SECONDS = (1.0, 4.0)
"""Between two acts."""
_REST_SECONDS = {"postgres": 6.0, "rabbitmq": 12.0}
"""What a server is left in peace after an act, so that it is up again when the next one comes."""
_REST_OTHERWISE_SECONDS = 3.0
_BETWEEN_WIPES_SECONDS = 150.0
"""What was lost is said again a minute later, and may wait for somebody who is paused: said again after the next minute
it would be ten."""


def service_of(instance: str) -> str:
    return instance.removesuffix("-2")


def servers_of(instance: str) -> tuple[str, ...]:
    return SERVERS if service_of(instance) in ROLES else ("rabbitmq",)


def link(instance: str, server: str) -> str:
    return f"{instance} to {server}"


LINKS = tuple(link(instance, server) for instance in INSTANCES for server in servers_of(instance))


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    cards: int
    """How many of it are in the deck that acts are dealt from."""
    targets: tuple[str, ...]
    shortest_seconds: float
    longest_seconds: float


KILL, STOP, PAUSE = "kill -9", "SIGTERM", "pause"
KILL_SERVER, STOP_SERVER = "kill -9 of a server", "stop of a server"
CUT, REFUSE, SILENCE, SLOW = "link cut", "link refused", "link silent", "link slow"
WIPE = "disk wiped"
LOCK, END_SESSIONS, CLOSE_CONNECTIONS, POISON = "table locked", "sessions ended", "connections closed", "poison"

KINDS = (
    Kind(KILL, 5, INSTANCES, 0.1, 4.0),
    Kind(STOP, 2, INSTANCES, 0.0, 3.0),
    Kind(PAUSE, 3, INSTANCES, 1.0, 8.0),
    Kind(PAUSE, 1, INSTANCES, LEASE_SECONDS + 2.0, LEASE_SECONDS + 10.0),
    Kind(KILL_SERVER, 1, ("postgres",), 0.0, 4.0),
    Kind(KILL_SERVER, 1, ("rabbitmq",), 0.0, 4.0),
    Kind(WIPE, 1, ("rabbitmq",), 0.0, 4.0),
    Kind(STOP_SERVER, 1, ("postgres",), 0.0, 8.0),
    Kind(STOP_SERVER, 1, ("rabbitmq",), 0.0, 8.0),
    Kind(CUT, 3, LINKS, 0.0, 0.0),
    Kind(REFUSE, 2, LINKS, 2.0, 12.0),
    Kind(SILENCE, 2, LINKS, 2.0, 12.0),
    Kind(SILENCE, 1, LINKS, 30.0, 35.0),
    Kind(SLOW, 3, LINKS, 4.0, 15.0),
    Kind(LOCK, 3, TABLES, 2.0, 14.0),  # a statement waits for 10 s, a free connection of the pool for 5 s
    Kind(END_SESSIONS, 1, tuple(ROLES.values()), 0.0, 0.0),
    Kind(CLOSE_CONNECTIONS, 1, ("vhost",), 0.0, 0.0),
    Kind(POISON, 3, SERVICES, 0.0, 0.0),
)


@dataclass(frozen=True, slots=True)
class Act:
    at_seconds: float
    kind: str
    target: str
    seconds: float
    number: int

    @property
    def instances(self) -> tuple[str, ...]:
        """Those whose health may tell of it."""
        if self.target in SERVERS:
            return tuple(instance for instance in INSTANCES if self.target in servers_of(instance))
        return tuple(instance for instance in INSTANCES if self.target in (instance, *links_of(instance)))

    def __str__(self) -> str:
        return f"{self.at_seconds:7.1f} s  {self.kind:<20} {self.target:<36} {self.seconds:5.1f} s"


def links_of(instance: str) -> tuple[str, ...]:
    return tuple(link(instance, server) for server in servers_of(instance))


def plan(seed: int, seconds: float) -> list[Act]:
    """Acts one after the other, which overlap where they meet different targets; all of them end within `seconds`.

    They are dealt from a shuffled deck, so that even a short run has something of everything.
    """
    chance = random.Random(seed)
    deck: list[Kind] = []
    free_at: dict[str, float] = {}
    acts: list[Act] = []
    wiped_at = -_BETWEEN_WIPES_SECONDS
    now = chance.uniform(*PAUSE_SECONDS)
    while now < seconds:
        if not deck:
            deck = [kind for kind in KINDS for _ in range(kind.cards)]
            chance.shuffle(deck)
        kind = deck.pop()
        free = [target for target in kind.targets if free_at.get(target, 0.0) <= now]
        lasts = min(chance.uniform(kind.shortest_seconds, kind.longest_seconds), seconds - now)
        if kind.name == WIPE:
            free = free if now > wiped_at + _BETWEEN_WIPES_SECONDS else []
            wiped_at = now if free else wiped_at
        if free:
            target = chance.choice(free)
            free_at[target] = now + lasts + _REST_SECONDS.get(target, _REST_OTHERWISE_SECONDS)
            acts.append(Act(now, kind.name, target, lasts, len(acts)))
        now += chance.uniform(*PAUSE_SECONDS)
    return acts
