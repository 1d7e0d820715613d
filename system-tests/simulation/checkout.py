"""Calls of the payment gateway: they take time, get lost on the way there or back, and outlive those who made them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simulation.bank import Bank
from simulation.fleet import Node
from simulation.scenario import GATEWAY_FAULTS
from simulation.wire import SECOND, Ask, Effect

if TYPE_CHECKING:
    from simulation.driver import Driver


class Checkout:
    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        scenario = driver.scenario
        self.bank = Bank(scenario.seed, scenario.success_rate, scenario.decline_rate)
        self.handlers: dict[type[Effect], Callable[[Node, Any], None]] = {Ask: self._asked}
        self.silent_until = 0
        """Until then every answer is lost."""
        self.unavailable_until = 0
        """Until then nothing is processed."""
        self._says_until_when = False
        self._told: dict[str, tuple[int, int]] = {}
        """When each process was told to leave the gateway alone, and until when."""
        driver.trouble.expect(GATEWAY_FAULTS)

    def fall_silent(self, lasts: int) -> None:
        self.silent_until = self._driver.now + lasts

    def refuse(self, lasts: int, *, says_until_when: bool = False) -> None:
        self.unavailable_until = self._driver.now + lasts
        self._says_until_when = says_until_when

    def _asked(self, node: Node, ask: Ask) -> None:
        driver = self._driver
        fault = driver.trouble.strikes(GATEWAY_FAULTS, node.service)
        kind = fault.kind if fault else "answer lost" if driver.now < self.silent_until else ""
        lasts = fault.lasts if fault else 0
        refused = not kind and driver.now < self.unavailable_until
        life = node.life
        driver.note("gateway calls")
        if driver.telling:
            driver.tell(f"asks the gateway: {ask.kind} {ask.key.partition(':')[2]} of {self._order(ask)}", node)
        if driver.scenario.leaves_payments_alone:
            self._check(node, ask)

        def answer(outcome: str, delay: int) -> None:
            def act() -> None:
                if node.life == life:
                    driver.tell(f"hears from the gateway about {ask.kind} {self._order(ask)}: {outcome}", node)
                    driver.do(node.service, "answer", ask.call, outcome)

            driver.after(delay, act)

        def carry_out() -> None:
            if kind == "gateway error":
                outcome = self.bank.fail(ask.kind, ask.key)
            else:
                outcome = self.bank.carry_out(ask.kind, ask.key, ask.order, ask.amount, self._order(ask))
            if driver.telling:
                driver.tell(f"   the gateway: {ask.kind} of {self._order(ask)}: {outcome}")
            for complaint in self.bank.complaints:
                driver.broken("money", driver.witness.readable(complaint))
            if kind == "frozen while asking":
                pass  # the connection did not outlive the pause
            elif kind == "answer lost":
                if driver.dice(f"time-outs {self._order(ask)}").random() < 0.5:
                    answer("unknown", driver.network(f"gateway {self._order(ask)}"))
            elif kind == "slow answer":
                answer(outcome, lasts)
            elif kind == "crash while charging":
                driver.fleet.crash(node, kind)
            elif kind == "frozen at the answer":
                driver.fleet.freeze(node, lasts)
                answer(outcome, 1)
            else:
                answer(outcome, driver.network(f"gateway {self._order(ask)}"))

        if kind == "frozen while asking":
            driver.at(driver.now, lambda: driver.fleet.freeze(node, lasts))
        if refused:
            delay = driver.network(f"gateway {self._order(ask)}")
            seconds = (self.unavailable_until - driver.now) / SECOND if self._says_until_when else 0.0
            answer(f"unavailable {seconds}", delay)
            if seconds:
                self._told[str(node)] = (driver.now + delay, driver.now + delay + int(seconds * SECOND))
        elif kind == "request lost":
            answer("unknown", driver.network(f"gateway {self._order(ask)}"))
        else:
            driver.after(driver.network(f"gateway {self._order(ask)}"), carry_out)

    def _check(self, node: Node, ask: Ask) -> None:
        """That nothing begins before the time that the gateway named, and no charge once payment-service knows that the
        order is undone, nor past the order's deadline: where every answer arrives, no outcome is unknown, so there is
        nothing to ask for then."""
        driver, witness = self._driver, self._driver.witness
        begun = driver.now - SECOND - int(10 * driver.scenario.pause_seconds * SECOND)  # the transaction, at the latest
        told_at, until = self._told.get(str(node), (driver.now, 0))
        if told_at < begun and driver.now < until:
            driver.broken("too early", f"{node} asks for {self._order(ask)} before the time that the gateway named.")
        if ask.kind == "charge" and witness.undone_at.get(ask.order, begun) < begun:
            driver.broken("charged too late", f"{self._order(ask).capitalize()} is undone, and yet a charge begins.")
        if ask.kind == "charge" and witness.deadline(ask.order) < begun:
            driver.broken("charged too late", f"{self._order(ask).capitalize()} has expired, and yet a charge begins.")

    def _order(self, ask: Ask) -> str:
        return self._driver.witness.name_of(ask.order)
