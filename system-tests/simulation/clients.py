"""The shop's clients: they order, cancel, and ask again when they got no answer."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from simulation.fleet import Node
from simulation.scenario import INVENTORY, ORDER, Cancel, Change, Place
from simulation.wire import SECOND, Answered, Effect

if TYPE_CHECKING:
    from simulation.driver import Driver


def product_id(number: int) -> str:
    return str(UUID(int=0x10000000_0000_4000_8000_000000000000 + number))


def customer_id(number: int) -> str:
    return str(UUID(int=0x20000000_0000_4000_8000_000000000000 + number))


def trace_of(number: int) -> str:
    return f"{number:032x}"


class Clients:
    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        self.handlers: dict[type[Effect], Callable[[Node, Any], None]] = {Answered: self._answered}
        self.placed: dict[int, set[str]] = {}
        """Order ids that the clients were given, by order number."""
        self.cancelled: dict[int, str] = {}
        """What a cancel was answered, by order number."""
        self.changed: set[int] = set()
        """The changes of stock that were answered as made."""
        self._open: dict[int, tuple[Node, Callable[[str, str], None]]] = {}
        self._requests = 0

    def fill_the_shelves(self) -> None:
        shelves = zip(self._driver.scenario.stock, self._driver.scenario.prices, strict=True)
        for number, (quantity, price) in enumerate(shelves, start=1):
            self._ask(INVENTORY, "set_stock", (product_id(number), quantity, price), lambda outcome, value: None)

    def begin(self) -> None:
        for place in self._driver.scenario.places:
            for _ in range(2 if place.twice and place.keyed else 1):
                self._driver.at(place.at, lambda place=place: self._place(place))  # type: ignore[misc]
        for cancel in self._driver.scenario.cancels:
            self._driver.at(cancel.at, lambda cancel=cancel: self._cancel(cancel))  # type: ignore[misc]
        for change in self._driver.scenario.changes:
            for _ in range(2 if change.twice else 1):
                self._driver.at(change.at, lambda change=change: self._change(change))  # type: ignore[misc]

    def _place(self, place: Place) -> None:
        self._driver.tell(f"-- order {place.number} is placed")
        lines = [(product_id(product), quantity, place.price) for product, quantity in place.lines]
        traceparent = f"00-{trace_of(place.number)}-{place.number:016x}-01"
        key = f"key-{place.number}" if place.keyed else ""

        def answered(outcome: str, value: str) -> None:
            if outcome == "ok":
                self.placed.setdefault(place.number, set()).add(value)
            elif place.keyed:
                self._driver.after(self._patience(place.number), lambda: self._place(place))

        self._ask(ORDER, "place", (customer_id(place.number), lines, traceparent, key, place.trusted), answered)

    def _cancel(self, cancel: Cancel) -> None:
        ids = self.placed.get(cancel.number)
        if not ids:
            self._driver.after(
                self._patience(cancel.number), lambda: self._cancel(cancel) if self._may_come(cancel) else None
            )
            return

        def answered(outcome: str, value: str) -> None:
            if outcome == "unavailable":
                self._driver.after(self._patience(cancel.number), lambda: self._cancel(cancel))
            else:
                self.cancelled[cancel.number] = outcome

        self._driver.tell(f"-- order {cancel.number} is cancelled by its customer")
        self._ask(ORDER, "cancel", (min(ids),), answered)

    def _change(self, change: Change) -> None:
        def answered(outcome: str, value: str) -> None:
            if outcome == "ok":
                self.changed.add(change.number)
            elif outcome == "unavailable":
                patience = int(self._driver.dice(f"patience of change {change.number}").uniform(0.2, 3.0) * SECOND)
                self._driver.after(patience, lambda: self._change(change))

        self._driver.tell(f"-- change {change.number} of stock is sent")
        key = f"change-{change.number}"
        self._ask(INVENTORY, "change_stock", (product_id(change.product), change.difference, key), answered)

    def _may_come(self, cancel: Cancel) -> bool:
        return any(place.number == cancel.number for place in self._driver.scenario.places)

    def _patience(self, number: int) -> int:
        return int(self._driver.dice(f"patience {number}").uniform(0.2, 3.0) * SECOND)

    def _ask(self, service: str, name: str, arguments: tuple[Any, ...], answered: Callable[[str, str], None]) -> None:
        driver = self._driver
        alive = [node for node in driver.fleet.nodes[service] if node.alive and not node.stopping]
        if not alive:
            driver.at(driver.now, lambda: answered("unavailable", ""))
            return
        node = driver.dice(f"balancer {name} {arguments[0]}").choice(alive)
        self._requests += 1
        self._open[self._requests] = (node, answered)
        driver.do(service, "request", node.replica, self._requests, name, arguments)

    def _answered(self, _: Node, answer: Answered) -> None:
        node, answered = self._open.pop(answer.request, (None, None))
        if answered is None:
            return
        if answer.outcome not in ("ok", "unavailable", "illegaltransition", "stockoutofbounds"):
            self._driver.broken("a request failed", f"A request to {node} ended in {answer.outcome}: {answer.value}.")
        self._driver.tell(f"-- answered: {answer.outcome}")
        answered(answer.outcome, answer.value)

    def hang_up(self, node: Node) -> None:
        """Its process died: whoever waits for it gets no answer."""
        for request, (asked, answered) in list(self._open.items()):
            if asked is node:
                del self._open[request]
                self._driver.at(self._driver.now, lambda answered=answered: answered("unavailable", ""))  # type: ignore[misc]
