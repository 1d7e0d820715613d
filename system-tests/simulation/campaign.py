"""Many runs, in as many processes as there are processors, each with four workers of its own."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from time import monotonic

from simulation.driver import Driver, Outcome
from simulation.mutations import ALL
from simulation.scenario import make
from simulation.shrink import in_words, shrink
from simulation.workers import Workers

SEEDS_A_PORTION = 50
MISFITS = ("typeerror", "attributeerror", "nameerror", "keyerror")
"""What a mutation shows that breaks the code in another way than it says."""


@dataclass(slots=True)
class Result:
    runs: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    """Seed and what was broken first."""
    digest: int = 0
    """Of all runs together, whatever their order."""


def run_seed(seed: int, workers: Workers, tell: Callable[[str], None] | None = None) -> Outcome:
    return Driver(make(seed), workers, tell).run()


def run_many(first: int, runs: int, processes: int | None = None, *, stop_after: int = 10) -> Result:
    """Runs the seeds from `first` on; gives up after `stop_after` failures."""
    began = monotonic()
    result = Result()
    portions = [
        range(start, min(start + SEEDS_A_PORTION, first + runs))
        for start in range(first, first + runs, SEEDS_A_PORTION)
    ]
    with _pool(processes) as pool:
        for finished in as_completed([pool.submit(_portion, portion, stop_after) for portion in portions]):
            part = finished.result()
            result.runs += part.runs
            result.counts += part.counts
            result.failures += part.failures
            result.digest ^= part.digest
            if len(result.failures) >= stop_after:
                pool.shutdown(cancel_futures=True)
                break
    result.failures.sort()
    result.seconds = monotonic() - began
    return result


def explain(seed: int, workers: Workers, tell: Callable[[str], None]) -> bool:
    """Replays a seed; if it fails, says why, as briefly as it can be shown. Whether it failed."""
    outcome = run_seed(seed, workers)
    if not outcome.violations:
        tell(f"Seed {seed} breaks nothing ({outcome.counts['events']} events, digest {outcome.digest[:16]}).")
        return False
    tell(f"Seed {seed} (digest {outcome.digest[:16]}):")
    for violation in outcome.violations:
        tell(f"  {violation.sentence}")
    smallest = shrink(outcome, workers)
    tell("\nThe smallest scenario that breaks the same rule:")
    for line in in_words(smallest.scenario):
        tell(f"  {line}")
    tell("\nWhat happens in it (seconds, process, what it does):")
    Driver(smallest.scenario, workers, tell).run()
    return True


@dataclass(frozen=True, slots=True)
class Catch:
    mutation: str
    seed: int | None
    """None if no seed that was tried catches it."""
    sentence: str
    """What it breaks, or why the design heals it; empty if it ought to have been caught."""


def hunt(
    names: Iterable[str], seeds: Sequence[int], processes: int | None = None, *, hints: Mapping[str, int] | None = None
) -> Iterator[Catch]:
    """Which of the seeds is the first to catch each mutation, as they are found. A hint is tried before all others."""
    with _pool(processes) as pool:
        tried = {name: [hints[name], *seeds] if hints and name in hints else seeds for name in names}
        for finished in as_completed([pool.submit(_hunt, name, tried[name]) for name in tried]):
            yield finished.result()


def _hunt(name: str, seeds: Sequence[int]) -> Catch:
    with Workers(name, _healthy()) as workers:
        for seed in seeds:
            if violations := run_seed(seed, workers).violations:
                sentence = violations[0].sentence
                if any(error in sentence.lower() for error in MISFITS):
                    raise RuntimeError(f"The mutation {name!r} does not fit the code any more: {sentence}")
                return Catch(name, seed, sentence)
    return Catch(name, None, ALL[name].healed_because)


_workers: Workers | None = None
"""Those of this process, which are all of the services as they are."""


def _healthy() -> Workers:
    global _workers
    _workers = _workers or Workers()
    return _workers


def _portion(seeds: range, stop_after: int) -> Result:
    result = Result()
    for seed in seeds:
        outcome = run_seed(seed, _healthy())
        result.runs += 1
        result.counts += outcome.counts
        result.digest ^= int(outcome.digest[:16], 16)
        if outcome.violations:
            result.failures.append((seed, outcome.violations[0].sentence))
            if len(result.failures) >= stop_after:
                break
    return result


def _pool(processes: int | None) -> ProcessPoolExecutor:
    # A forked process would keep the pipes of its siblings' workers open, and those would never end.
    return ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn"))
