"""The services' processes as the driver sees them: they start, stop, die, stand still and lose their connections."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulation.rabbit import Stored
from simulation.scenario import SERVICES
from simulation.wire import SECOND, Crashed, Effect, Lost

if TYPE_CHECKING:
    from simulation.driver import Driver

HEARTBEAT_LOST_AFTER = 20 * SECOND
SESSION_ENDED_AFTER = 30 * SECOND
WATCHED_EVERY = 5 * SECOND


@dataclass(slots=True)
class Node:
    """One process of a service."""

    service: str
    replica: int
    alive: bool = False
    frozen: bool = False
    connected: bool = False
    """The broker delivers to it."""
    stopping: bool = False
    losing: bool = False
    """Its consumer has ended, and it has not noticed yet."""
    life: int = 0
    """Rises with each death, so that what was planned for an earlier life is left out."""
    unacked: dict[int, Stored] = field(default_factory=dict)
    tags: int = 0
    void_tags: int = 0
    """The last tag of those whose messages went with their queue, which may be acknowledged all the same."""
    ticks: set[str] = field(default_factory=set)
    """The periodic jobs whose next turn is planned."""

    @property
    def moves(self) -> bool:
        """Whether it does what its own clock tells it to."""
        return self.alive and not self.frozen and not self.stopping

    def __str__(self) -> str:
        return f"{self.service}/{self.replica}"


class Fleet:
    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        self.nodes = {
            service: [Node(service, n) for n in range(driver.scenario.processes_of(service))] for service in SERVICES
        }
        self.handlers: dict[type[Effect], Callable[[Node, Any], None]] = {
            Crashed: lambda node, effect: self._died(node, effect.where),
            Lost: self._lost,
        }

    def all(self) -> list[Node]:
        return [node for service in SERVICES for node in self.nodes[service]]

    def start(self, node: Node) -> None:
        if not node.alive:
            node.alive = node.connected = True
            self._driver.tell("starts", node)
            self._driver.do(node.service, "start", node.replica)
            self._driver.delivery.attached(node)

    def stop(self, node: Node) -> None:
        """A SIGTERM: the process finishes what it has in hand, takes nothing more, and ends."""
        if node.moves and node.connected:
            self._driver.tell("is told to stop", node)
            node.stopping = True
            node.connected = False
            self._driver.do(node.service, "stop", node.replica)

    def crash(self, node: Node, where: str) -> None:
        """Kills the process: it does nothing more, not even clean up."""
        if node.alive:
            self._driver.do(node.service, "crash", node.replica, where)

    def disconnect(self, node: Node) -> None:
        """The connection to the broker breaks."""
        if node.alive and node.connected:
            self._driver.tell("loses its connection to the broker", node)
            node.connected = node.losing = False
            self._driver.do(node.service, "disconnect", node.replica)
            self._driver.delivery.give_back(node)
            if not node.frozen:
                self._reconnect_soon(node)

    def freeze(self, node: Node, lasts: int) -> None:
        """The process stands still, as under a debugger or in a machine that was paused; then it goes on."""
        driver = self._driver
        if not node.alive or node.frozen or driver.trouble.over:
            return
        node.frozen = True
        driver.tell("stands still", node)
        driver.do(node.service, "freeze", node.replica)
        life = node.life

        def if_still(act: Callable[[], None]) -> Callable[[], None]:
            return lambda: act() if node.life == life and node.frozen else None

        def end_sessions() -> None:
            driver.do(node.service, "end_sessions", node.replica)

        driver.after(HEARTBEAT_LOST_AFTER, if_still(lambda: self.disconnect(node)))
        driver.after(SESSION_ENDED_AFTER, if_still(end_sessions))
        driver.after(lasts, if_still(lambda: self._thaw(node)))

    def thaw_all(self) -> None:
        for node in self.all():
            if node.frozen:
                self._thaw(node)

    def _thaw(self, node: Node) -> None:
        node.frozen = False
        self._driver.tell("goes on", node)
        self._driver.do(node.service, "thaw", node.replica)
        if node.alive and not node.connected:
            self._reconnect_soon(node)

    def _died(self, node: Node, where: str) -> None:
        driver = self._driver
        driver.tell(f"dies ({where})", node)
        driver.note("crashes")
        node.alive = node.frozen = node.connected = node.stopping = node.losing = False
        node.life += 1
        node.ticks.clear()
        driver.delivery.give_back(node)
        driver.clients.hang_up(node)
        driver.after(int(driver.dice(f"restarts {node}").uniform(0.1, 5.0) * SECOND), lambda: self.start(node))

    def _lost(self, node: Node, _: Lost) -> None:
        """The watch of its connection sees that within five seconds, and makes a new one."""
        if not node.losing:
            node.losing = True
            life = node.life
            notices = self._driver.dice(f"watch {node}").randrange(WATCHED_EVERY)
            self._driver.after(notices, lambda: self.disconnect(node) if node.life == life else None)

    def _reconnect_soon(self, node: Node) -> None:
        life = node.life

        def connect() -> None:
            if node.life == life and node.moves and not node.connected:
                node.connected = True
                self._driver.tell("is connected to the broker again", node)
                self._driver.do(node.service, "connect", node.replica)
                self._driver.delivery.attached(node)

        self._driver.after(int(self._driver.dice(f"reconnects {node}").uniform(0.2, 5.0) * SECOND), connect)
