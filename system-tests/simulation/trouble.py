"""Lets things go wrong as the scenario says: at a time of their own, or to the nth message, answer, acknowledgement."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulation.fleet import Node
from simulation.scenario import SERVICES, WITH_DATABASE, Fault
from simulation.wire import SECOND

if TYPE_CHECKING:
    from simulation.driver import Driver

DATABASE_AWAY_AT_MOST = 20 * SECOND


class Trouble:
    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        self._seen: Counter[tuple[str, str]] = Counter()
        self._faults: dict[tuple[str, str], dict[int, Fault]] = defaultdict(dict)
        self.over = True
        self.last_at = 0
        """Until when something has been wrong, as far as is known yet."""

    def expect(self, group: tuple[str, ...]) -> None:
        """Lays the scenario's faults of that group ready to strike."""
        for fault in self._driver.scenario.faults:
            if fault.kind in group:
                self._faults[group[0], fault.service][fault.nth] = fault

    def strikes(self, group: tuple[str, ...], service: str) -> Fault | None:
        """The fault that befalls this message, answer, acknowledgement: the next of its group at that service."""
        if self.over:
            return None
        self._seen[group[0], service] += 1
        fault = self._faults[group[0], service].get(self._seen[group[0], service])
        if fault is not None:
            self._say(fault)
        return fault

    def begin(self) -> None:
        self.over = False
        driver = self._driver
        for service in WITH_DATABASE:  # commits and handlers are counted there
            driver.do(service, "arm", *driver.scenario.of_worker(service))
        for fault in driver.scenario.faults:
            self._plan(fault)
        driver.at(driver.scenario.faults_end, self._end)

    def _end(self) -> None:
        self._driver.tell("-- from now on nothing goes wrong any more")
        self.over = True
        for service in SERVICES:
            self._driver.do(service, "calm")
        self._driver.fleet.thaw_all()

    def _plan(self, fault: Fault) -> None:
        driver = self._driver
        acts: dict[str, Callable[[Node], None]] = {
            "killed": lambda node: driver.fleet.crash(node, "killed"),
            "stopped": driver.fleet.stop,
            "disconnected": driver.fleet.disconnect,
            "frozen": lambda node: driver.fleet.freeze(node, fault.lasts),
            "database away": lambda node: self._database_away(node.service, fault.lasts),
            "poison": lambda node: driver.delivery.poison(node.service),
            "regrouped": lambda node: driver.delivery.regroup(node.service),
            "gateway silent": lambda node: driver.checkout.fall_silent(fault.lasts),
            "gateway unavailable": lambda node: driver.checkout.refuse(fault.lasts),
            "gateway busy": lambda node: driver.checkout.refuse(fault.lasts, says_until_when=True),
            "pruned": self._prune,
            "broker wiped": lambda _: driver.delivery.wipe(),
            "queue deleted": lambda _: driver.delivery.delete(fault.service, fault.lasts),
        }
        if (act := acts.get(fault.kind)) is not None:
            nodes = driver.fleet.nodes[fault.service]
            node = nodes[min(fault.nth, len(nodes) - 1)]

            def happen() -> None:
                self._say(fault)
                act(node)

            driver.at(fault.at, happen)

    def struck(self, kind: str, lasts: int = 0) -> None:
        """Counts a fault that has happened."""
        self._driver.note(kind)
        self.last_at = max(self.last_at, self._driver.now + lasts)

    def _say(self, fault: Fault) -> None:
        self.struck(fault.kind, fault.lasts)
        self._driver.tell(f"!! {fault}")

    def _prune(self, node: Node) -> None:
        if node.moves:
            self._driver.do(node.service, "job", node.replica, "pruning")

    def _database_away(self, service: str, lasts: int) -> None:
        driver = self._driver
        driver.do(service, "database", True)
        driver.after(min(lasts, DATABASE_AWAY_AT_MOST), lambda: driver.do(service, "database", False))
