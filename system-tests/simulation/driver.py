"""The scheduler: it alone knows the time, and decides what happens next.

One run is one heap of events in virtual time. Each event may send commands to workers; what comes of a command
(messages to publish, questions to the gateway, answers, commits) becomes new events. Nothing else moves, so the same
scenario gives the same run, byte by byte.
"""

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulation.checkout import Checkout
from simulation.clients import Clients
from simulation.delivery import Delivery
from simulation.fleet import Fleet, Node
from simulation.invariants import at_rest
from simulation.scenario import SERVICES, WITH_DATABASE, Scenario
from simulation.trouble import Trouble
from simulation.wire import SECOND, Broken, Command, Effect, Reply, Struck
from simulation.witness import Witness
from simulation.workers import Workers

JOBS = {
    "outbox sweep": 5 * SECOND,
    "order deadlines": SECOND,
    "reminders": SECOND,
    "due payments": SECOND // 2,
}
"""How often each runs, as in the services' main.py. A turn that would find nothing to do is left out."""
NEVER_QUIET_AFTER = 8 * 86_400 * SECOND
"""A decision that nobody answers is repeated for the last time a week later."""
MOST_EVENTS = 20_000
MORE_THAN_A_WEEK = 8 * 86_400 * SECOND
"""Past it inboxes and tombstones are pruned."""


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    """Its name: the same for every run that breaks it in the same way."""
    sentence: str


@dataclass(slots=True)
class Outcome:
    scenario: Scenario
    violations: list[Violation]
    digest: str
    """Of every byte that passed between the driver and the workers."""
    counts: Counter[str]


class Driver:
    """One run of one scenario. `tell` is given a line for everything that happens."""

    def __init__(self, scenario: Scenario, workers: Workers, tell: Callable[[str], None] | None = None) -> None:
        self.scenario = scenario
        self.now = 0
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self._pipes = workers.pipes
        self._tell = tell
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._planned = 0
        self._wakes: dict[str, int | None] = dict.fromkeys(SERVICES)
        self._due: dict[str, tuple[tuple[str, int], ...]] = dict.fromkeys(SERVICES, ())
        self._digest = hashlib.sha256()
        self._dice: dict[str, random.Random] = {}
        self.trouble = Trouble(self)
        self.fleet = Fleet(self)
        self.witness = Witness(self)
        self.delivery = Delivery(self, workers.bindings)
        self.checkout = Checkout(self)
        self.clients = Clients(self)
        self._handlers: dict[type[Effect], Callable[[Node, Any], None]] = {
            Struck: self._struck,
            Broken: lambda _, effect: self.broken(effect.rule, effect.sentence),
            **self.fleet.handlers,
            **self.witness.handlers,
            **self.delivery.handlers,
            **self.checkout.handlers,
            **self.clients.handlers,
        }

    def run(self) -> Outcome:
        for pipe in self._pipes.values():
            pipe.digest = self._digest.update
        for service in SERVICES:
            self._send(service, "reset", self.scenario.seed, self.scenario.settings())
        for node in self.fleet.all():
            self.fleet.start(node)
        self.clients.fill_the_shelves()
        self._go_on()
        self.trouble.begin()
        self.clients.begin()
        self._go_on()
        self._check()
        self.witness.count()
        if self.scenario.afterwards and not self.violations:
            self._a_week_later()
            self._check()
        return Outcome(self.scenario, self.violations, self._digest.hexdigest(), self.counts)

    def at(self, when: int, act: Callable[[], object]) -> None:
        self._planned += 1
        heapq.heappush(self._heap, (max(when, self.now), self._planned, act))

    def after(self, micros: int, act: Callable[[], object]) -> None:
        self.at(self.now + micros, act)

    def dice(self, purpose: str) -> random.Random:
        if purpose not in self._dice:
            self._dice[purpose] = random.Random(f"{self.scenario.seed} {purpose}")
        return self._dice[purpose]

    def network(self, purpose: str) -> int:
        """How long something takes on its way: mostly little, at times the longest."""
        return 200 + int(self.scenario.network * self.dice(purpose).random() ** 3)

    def do(self, service: str, name: str, *arguments: object) -> Any:
        """Sends a command, and plans what follows from the reply."""
        return self._send(service, name, *arguments).value

    def note(self, kind: str) -> None:
        self.counts[kind] += 1

    def tell(self, line: str, node: Node | None = None) -> None:
        if self._tell is not None:
            self._tell(f"{self.now / SECOND:12.6f}  {node or ''!s:24}{line}")

    @property
    def telling(self) -> bool:
        """Whether anybody listens: a line that takes work is not made for nobody."""
        return self._tell is not None

    def broken(self, rule: str, sentence: str) -> None:
        self.violations.append(Violation(rule, sentence))
        self.tell(f"** {sentence}")

    def _struck(self, node: Node, effect: Struck) -> None:
        self.trouble.struck(effect.kind)
        self.tell(f"!! {effect.kind}", node)

    def _go_on(self) -> None:
        """Until nothing more is planned, or something is broken."""
        began = self.now
        while not self.violations:
            wakes = [(wake, service) for service, wake in self._wakes.items() if wake is not None]
            wake, service = min(wakes, default=(None, ""))
            if wake is not None and (not self._heap or wake < self._heap[0][0]):
                self.now = wake
                self.do(service, "advance")
            elif self._heap:
                self.now, _, act = heapq.heappop(self._heap)
                act()
            else:
                return
            self.note("events")
            if self.now - began > NEVER_QUIET_AFTER or self.counts["events"] > MOST_EVENTS:
                due = [f"{service}: {name}" for service, names in self._due.items() for name, _ in names]
                what = "; ".join(due) or "work without end"
                self.broken("never quiet", f"The system does not come to rest: {what}.")

    def _send(self, service: str, name: str, *arguments: object) -> Reply:
        reply = self._pipes[service].ask(Command(name, self.now, arguments))
        self._wakes[service] = reply.wake
        self._due[service] = reply.due
        for effect in reply.effects:
            replica = getattr(effect, "replica", 0)
            self._handlers[type(effect)](self.fleet.nodes[service][replica], effect)
        self._plan_jobs(service)
        return reply

    def _plan_jobs(self, service: str) -> None:
        for name, due in self._due[service]:
            for node in self.fleet.nodes[service]:
                if node.moves and name not in node.ticks:
                    node.ticks.add(name)
                    until_its_turn = 1 + self.dice(f"{name} {node}").randrange(JOBS[name])
                    self.at(max(self.now, due) + until_its_turn, self._turn(node, name))

    def _turn(self, node: Node, name: str) -> Callable[[], None]:
        life = node.life

        def act() -> None:
            if node.life == life:
                node.ticks.discard(name)
                if node.moves:
                    self.do(node.service, "job", node.replica, name)

        return act

    def _check(self) -> None:
        if not self.violations:
            seen = {service: self.do(service, "look") for service in SERVICES}
            for rule, sentence in at_rest(self, seen):
                self.broken(rule, sentence)

    def _a_week_later(self) -> None:
        """Everything that may be forgotten is; then old events come again."""
        self.now += MORE_THAN_A_WEEK
        self.tell("-- more than a week later: pruning, and old events once more")
        for service in WITH_DATABASE:
            for node in self.fleet.nodes[service]:
                self.do(service, "job", node.replica, "pruning")
        self.delivery.send_old_events_again()
        self._go_on()
