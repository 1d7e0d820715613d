"""The table at the end of a run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from chaos import plan
from chaos.acts import Acts
from chaos.shoppers import Shoppers
from chaos.verdict import Verdict
from chaos.watch import ENDPOINTS, Watch

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Report:
    seed: int
    minutes: float
    acts: Acts
    shoppers: Shoppers
    watch: Watch
    verdict: Verdict
    quiet_after_seconds: float
    """From the end of the last fault."""
    logs: Path

    def text(self) -> str:
        lines = [f"{name:<28} {value}" for name, value in self._lines()]
        violations = self.verdict.violations
        if violations:
            lines.append(f"\n{len(violations)} violations, SEED={self.seed}, logs in {self.logs}:")
            lines += [f"  {sentence}" for sentence in violations[:_SHOWN]]
            lines += [f"  and {len(violations) - _SHOWN} more"] if len(violations) > _SHOWN else []
        return "\n".join(lines)

    def _lines(self) -> Iterator[tuple[str, str]]:
        kinds = Counter(fault.act.kind for fault in self.acts.faults)
        servers = Counter((fault.act.kind, fault.act.target) for fault in self.acts.faults)
        links = {kind: kinds[kind] for kind in (plan.CUT, plan.REFUSE, plan.SILENCE, plan.SLOW)}
        shoppers, verdict = self.shoppers, self.verdict
        yield "seed", str(self.seed)
        yield "minutes of faults", f"{self.minutes:g}"
        yield "services killed (-9)", str(kinds[plan.KILL])
        yield "services stopped (SIGTERM)", f"{kinds[plan.STOP]}, {self.acts.stops_too_long} of them killed in the end"
        yield "services paused", f"{kinds[plan.PAUSE]}, {self._long_pauses()} of them past a lease"
        for server in plan.SERVERS:
            killed, stopped = servers[plan.KILL_SERVER, server], servers[plan.STOP_SERVER, server]
            yield server, f"{killed} killed (-9), {stopped} stopped, each started again"
        yield "broker's disk", f"wiped {kinds[plan.WIPE]} times"
        yield "links", ", ".join(f"{number} {kind.removeprefix('link ')}" for kind, number in links.items())
        yield "tables locked", str(kinds[plan.LOCK])
        yield "sessions ended by force", str(kinds[plan.END_SESSIONS])
        yield "connections closed by force", str(kinds[plan.CLOSE_CONNECTIONS])
        yield "poison", f"{len(self.acts.poison)} messages"
        yield "orders accepted", f"{len(shoppers.accepted)} of {shoppers.placed}"
        yield "requests sent again", f"{shoppers.again.total()} ({_by_status(shoppers.again)})"
        yield "cancellations", f"{len(shoppers.cancelled)} in time, {len(shoppers.kept)} too late"
        yield "final", ", ".join(f"{number} {status}" for status, number in verdict.statuses.most_common())
        yield "  of these expired", str(verdict.expired)
        yield "lost", str(verdict.lost)
        yield "double", str(verdict.double)
        yield "violations", str(len(verdict.violations))
        yield "all quiet after the faults", f"{self.quiet_after_seconds:.1f} s"
        yield "longest order", f"{verdict.longest_order.total_seconds():.1f} s"
        for endpoint in ENDPOINTS:
            yield f"{endpoint} red after", _seconds(self.watch.seconds_to_red(endpoint, self.acts.faults))
            yield f"{endpoint} green after", _seconds(self.watch.seconds_to_green(endpoint, self.acts.faults))

    def _long_pauses(self) -> int:
        long = (fault for fault in self.acts.faults if fault.act.kind == plan.PAUSE)
        return sum(fault.act.seconds > plan.LEASE_SECONDS for fault in long)


def _by_status(again: Counter[int]) -> str:
    return ", ".join(f"{number} for {status or 'no answer'}" for status, number in again.most_common())


def _seconds(found: Sequence[float]) -> str:
    if not found:
        return "not seen"
    return f"{median(found):.1f} s (median), {max(found):.1f} s (longest), {len(found)} times"
