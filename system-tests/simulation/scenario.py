"""What one seed stands for: who orders what and when, and all that goes wrong meanwhile, as plain lists.

Lists, because then a failing scenario can be made smaller, entry by entry, for as long as it still fails. What happens
between the entries (how long a message takes, which process gets it) comes from dice that are told apart by purpose, so
that leaving one entry out disturbs the others as little as can be.
"""

import random
from dataclasses import dataclass
from typing import Any

from simulation.wire import SECOND

ORDER, INVENTORY, PAYMENT, NOTIFICATION = SERVICES = (
    "order-service",
    "inventory-service",
    "payment-service",
    "notification-service",
)
WITH_DATABASE = (ORDER, INVENTORY, PAYMENT)
COMMIT_FAULTS = ("crash before commit", "crash after commit", "commit fails", "commit answer lost")
PUBLISH_FAULTS = (
    "crash before publish",
    "message lost",
    "nacked",
    "crash after publish",
    "confirm lost",
    "crash after confirm",
)
ACK_FAULTS = ("crash before ack", "crash after ack")
QUEUE_FAULTS = ("duplicated", "delayed", "delayed", "set aside", "forgotten", "forgotten")
"""What is forgotten was confirmed, and is gone: a disk that lied, a queue that was deleted, a dead letter dropped."""
GATEWAY_FAULTS = (
    "request lost",
    "answer lost",
    "slow answer",
    "gateway error",
    "crash while charging",
    "frozen at the answer",
    "frozen while asking",
)
PRICE, ANOTHER_PRICE = "9.99", "0.01"
"""What a product costs, if it has a price, and what some orders name instead."""
TIMED_FAULTS = (
    "killed",
    "stopped",
    "disconnected",
    "frozen",
    "database away",
    "poison",
    "regrouped",
    "pruned",
    "gateway silent",
    "broker wiped",
    "queue deleted",
)
SPELLS = ("gateway unavailable", "gateway busy")
"""The gateway processes nothing for a while, and says so; a busy one also says how long that will last."""


@dataclass(frozen=True, slots=True)
class Place:
    """An order that a client places. With `keyed` it bears an idempotency key and is repeated until it is answered;
    `twice` sends it twice at once."""

    at: int
    number: int
    lines: tuple[tuple[int, int], ...]
    """Product and quantity."""
    keyed: bool
    twice: bool
    price: str
    trusted: bool
    """Whether it may name the price of a product that has none."""

    def __str__(self) -> str:
        lines = ", ".join(f"{quantity} of P{product}" for product, quantity in self.lines)
        price = f"at {self.price}{'' if self.trusted else ' (not trusted)'}"
        twice = " (twice at once)" if self.twice else ""
        return f"{_seconds(self.at)} order {self.number} is placed for {lines} {price}{twice}"


@dataclass(frozen=True, slots=True)
class Cancel:
    at: int
    number: int

    def __str__(self) -> str:
        return f"{_seconds(self.at)} order {self.number} is cancelled by its customer"


@dataclass(frozen=True, slots=True)
class Change:
    """A difference to a product's stock, which its clerk repeats under one key until it is answered, or sends `twice`
    at once."""

    at: int
    number: int
    product: int
    difference: int
    twice: bool

    def __str__(self) -> str:
        twice = " (twice at once)" if self.twice else ""
        return f"{_seconds(self.at)} change {self.number} of stock: {self.difference:+} of P{self.product}{twice}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Happens to the `nth` of its kind at that service (commit, message, answer, ...) or, if timed, at `at`."""

    kind: str
    service: str
    nth: int = 0
    at: int = 0
    lasts: int = 0

    def __str__(self) -> str:
        when = f"at {_seconds(self.at)}" if self.kind in TIMED_FAULTS + SPELLS else f"no. {self.nth}"
        return f"{self.kind}: {self.service}, {when}{f', for {_seconds(self.lasts)}' if self.lasts else ''}"


@dataclass(frozen=True, slots=True)
class Scenario:
    seed: int
    replicas: int
    """Processes of each service with a database. What two heal between them, one may keep wrong for ever."""
    stock: tuple[int, ...]
    prices: tuple[str | None, ...]
    """Of the products in stock, if they have one."""
    places: tuple[Place, ...]
    cancels: tuple[Cancel, ...]
    changes: tuple[Change, ...]
    faults: tuple[Fault, ...]
    faults_end: int
    expires_after_seconds: int
    success_rate: float
    decline_rate: float
    network: int
    """The longest that a message usually takes, in microseconds."""
    grid: int
    """Messages arrive at multiples of it, so that several make one batch."""
    pause_chance: float
    pause_seconds: float
    afterwards: bool
    """Whether old events are sent again a week later, when inboxes and tombstones have been pruned."""

    def processes_of(self, service: str) -> int:
        """A customer hears once if the one process that tells them stays alive, which could not be checked with two."""
        return 1 if service == NOTIFICATION else self.replicas

    @property
    def leaves_payments_alone(self) -> bool:
        """Whether nothing happens to payment-service but that its gateway is unavailable."""
        return all(fault.kind in SPELLS for fault in self.faults if fault.service == PAYMENT)

    def settings(self) -> dict[str, Any]:
        """What every worker needs to know."""
        return {
            "expires_after_seconds": self.expires_after_seconds,
            "pause_chance": self.pause_chance,
            "pause_seconds": self.pause_seconds,
        }

    def of_worker(self, service: str) -> tuple[list[tuple[int, str]], list[int]]:
        """The faults that the service's worker itself counts up to: of commits, and of handlers."""
        mine = [fault for fault in self.faults if fault.service == service]
        commits = [(fault.nth, fault.kind) for fault in mine if fault.kind in COMMIT_FAULTS]
        return commits, [fault.nth for fault in mine if fault.kind == "handler fails"]


def make(seed: int) -> Scenario:
    dice, price_dice = random.Random(f"scenario {seed}"), random.Random(f"prices {seed}")
    theme = dice.choice(("anything", "anything", "anything", "gateway", "races", "forgetful"))
    products = dice.randint(1, 3)
    window = dice.choice((1, 2, 5, 20)) * SECOND
    expires_after = dice.choice(_DEADLINES.get(theme, (3, 10, 30, 120, 900)))
    orders = dice.choice((1, 2, 2, 3, 3, 4, 5, 6))
    places = tuple(
        Place(
            at=dice.randrange(SECOND // 10, window) if dice.random() < 0.7 else SECOND // 10,
            number=number,
            lines=_lines(dice, products),
            keyed=dice.random() < 0.8,
            twice=dice.random() < 0.2,
            price=PRICE if price_dice.random() < 0.95 else ANOTHER_PRICE,
            trusted=price_dice.random() < 0.9,
        )
        for number in range(1, orders + 1)
    )
    cancels = tuple(
        Cancel(at=place.at + _moment(dice, theme, expires_after), number=place.number)
        for place in places
        if place.keyed and dice.random() < (0.8 if theme == "races" else 0.45)
    )
    forgetful = theme == "forgetful"
    faults_end = window + int(expires_after * dice.choice((0.05, 0.1, 0.3) if forgetful else (0.3, 1.0, 1.5)) * SECOND)
    return Scenario(
        seed=seed,
        replicas=dice.choice((1, 2, 2, 3)),
        stock=tuple(dice.choice((0, 1, 1, 2, 3, 10, 10, 10)) for _ in range(products)),
        prices=tuple(price_dice.choice((None, PRICE)) for _ in range(products)),
        places=places,
        cancels=cancels,
        changes=_changes(seed, products, window),
        faults=_faults(
            dice, theme, [*(place.at for place in places), *(cancel.at for cancel in cancels)], window, faults_end
        )
        + _spells(seed, window),
        faults_end=faults_end,
        expires_after_seconds=expires_after,
        success_rate=dice.choice((0.8, 0.6) if theme == "gateway" else (1.0, 0.8, 0.6)),
        decline_rate=dice.choice((0.0, 0.3) if forgetful else (0.0, 0.1)),
        network=dice.choice((200_000, 2_000_000) if forgetful else (2_000, 20_000, 200_000, 2_000_000)),
        grid=dice.choice((1_000, 20_000, 200_000)),
        pause_chance=0.8 if theme == "races" else dice.choice((0.0, 0.2, 0.6)),
        pause_seconds=1.0 if theme == "races" else dice.choice((0.004, 0.05, 1.0)),
        afterwards=dice.random() < 0.15,
    )


_KINDS = {"silence": "gateway silent", "wipe": "broker wiped", "deleted": "queue deleted"}
_DEADLINES = {"gateway": (30, 30, 120, 900), "forgetful": (30, 900, 900, 900)}


def _lines(dice: random.Random, products: int) -> tuple[tuple[int, int], ...]:
    """One or two lines, at times of a product that is not sold here."""
    chosen = [dice.randint(1, products) for _ in range(dice.choice((1, 1, 1, 2)))]
    if dice.random() < 0.05:
        chosen[-1] = 9
    return tuple((product, dice.choice((1, 1, 1, 2))) for product in chosen)


def _moment(dice: random.Random, theme: str, expires_after: int) -> int:
    """How long after its order a cancel comes: mostly while things move, at times when a lease or the deadline ends."""
    if theme == "gateway" and dice.random() < 0.3:
        return int(dice.uniform(30.0, 31.5) * SECOND)
    longest = dice.choice((0.05, 0.5, 2.0) if theme == "races" else (0.05, 0.5, 2.0, 10.0, float(expires_after)))
    return int(dice.random() * longest * SECOND)


def _faults(dice: random.Random, theme: str, busy_at: list[int], window: int, faults_end: int) -> tuple[Fault, ...]:
    faults = []
    groups: tuple[str, ...] = ("commit", "publish", "ack", "queue", "queue", "gateway", "gateway", "timed", "handler")
    if theme == "forgetful":
        groups = ("forgotten", "forgotten", "wipe", "wipe", "deleted", "deleted", "commit", "queue")
    if theme == "gateway":
        groups = ("gateway", "gateway", "gateway", "silence", "timed", "commit")
    for _ in range(dice.choice((0, 1, 2, 3, 4, 6, 8, 12))):
        group = dice.choice(groups)
        nth = dice.choice((dice.randint(1, 3), dice.randint(1, 12)))
        lasts = int(dice.choice((0.1, 1.0, 5.0, 35.0, 70.0)) * dice.uniform(0.5, 1.0) * SECOND)
        if group == "commit":
            fault = Fault(dice.choice(COMMIT_FAULTS), dice.choice(WITH_DATABASE), nth)
        elif group == "publish":
            fault = Fault(dice.choice(PUBLISH_FAULTS), dice.choice(WITH_DATABASE), nth)
        elif group == "ack":
            fault = Fault(dice.choice(ACK_FAULTS), dice.choice(SERVICES), nth)
        elif group == "queue":
            fault = Fault(dice.choice(QUEUE_FAULTS), dice.choice(SERVICES), nth, lasts=lasts)
        elif group == "forgotten":
            fault = Fault(group, dice.choice(WITH_DATABASE), nth)
        elif group == "gateway":
            fault = Fault(dice.choice(GATEWAY_FAULTS), PAYMENT, dice.randint(1, 6), lasts=lasts)
        elif group == "handler":
            fault = Fault("handler fails", dice.choice(WITH_DATABASE), nth)
        else:
            at = dice.randrange(SECOND // 10, dice.choice((window + SECOND, faults_end)))
            if theme == "forgetful":  # while messages are on their way
                at = dice.choice(busy_at) + dice.randrange(6 * SECOND)
            kind = _KINDS.get(group) or dice.choice(TIMED_FAULTS)
            service = PAYMENT if kind == "gateway silent" else dice.choice(WITH_DATABASE)
            fault = Fault(kind, service, dice.randrange(2), at, lasts)
        faults.append(fault)
    return tuple(faults)


def _changes(seed: int, products: int, window: int) -> tuple[Change, ...]:
    """From dice of their own, as `_spells`."""
    dice = random.Random(f"changes {seed}")
    return tuple(
        Change(
            dice.randrange(window), number, dice.randint(1, products), dice.choice((1, 2, 5, -1)), dice.random() < 0.3
        )
        for number in range(1, dice.choice((0, 0, 0, 1, 1, 2, 4)) + 1)
    )


def _spells(seed: int, window: int) -> tuple[Fault, ...]:
    """From dice of their own, so that all else of a seed is the same without them."""
    dice = random.Random(f"spells {seed}")
    return tuple(
        Fault(
            dice.choice(SPELLS),
            PAYMENT,
            at=dice.choice((0, dice.randrange(window))),
            lasts=int(dice.choice((1.0, 5.0, 35.0, 70.0)) * dice.uniform(0.5, 1.0) * SECOND),
        )
        for _ in range(dice.choice((0, 0, 0, 1, 1, 2)))
    )


def _seconds(micros: int) -> str:
    return f"{micros / SECOND:.6f}".rstrip("0").rstrip(".") + " s"
