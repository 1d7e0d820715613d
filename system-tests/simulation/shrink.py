"""Makes a failing scenario as small as it gets: entry by entry is left out for as long as the same rule is broken."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from simulation.driver import Driver, Outcome
from simulation.scenario import Scenario
from simulation.workers import Workers

MOST_RUNS = 300
LISTS = ("faults", "cancels", "changes", "places")
CALM = {
    "afterwards": False,
    "replicas": 1,
    "pause_chance": 0.0,
    "network": 2_000,
    "grid": 1_000,
    "success_rate": 1.0,
    "decline_rate": 0.0,
}
"""What is easier to read, if it fails like that too."""


def shrink(outcome: Outcome, workers: Workers) -> Outcome:
    """The outcome of the smallest scenario found; that of the given one if nothing can be left out."""
    rule = outcome.violations[0].rule
    runs = 0

    def fails(scenario: Scenario) -> Outcome | None:
        nonlocal runs
        runs += 1
        tried = Driver(scenario, workers).run()
        return tried if tried.violations and tried.violations[0].rule == rule else None

    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(outcome.scenario):
            if runs >= MOST_RUNS:
                return outcome
            if (found := fails(candidate(outcome.scenario))) is not None:
                outcome, smaller = found, True
                break
    return outcome


def _smaller(scenario: Scenario) -> Iterator[Callable[[Scenario], Scenario]]:
    """Ways to make it smaller, the largest steps first."""
    for name in LISTS:
        entries = getattr(scenario, name)
        size = len(entries)
        while size:
            for start in range(0, len(entries), size):
                yield _without(name, start, start + size)
            size //= 2
    for name, value in CALM.items():
        if getattr(scenario, name) != value:
            yield _with(name, value)


def _without(name: str, start: int, end: int) -> Callable[[Scenario], Scenario]:
    def act(scenario: Scenario) -> Scenario:
        entries = getattr(scenario, name)
        changes: dict[str, Any] = {name: entries[:start] + entries[end:]}
        return replace(scenario, **changes)

    return act


def _with(name: str, value: Any) -> Callable[[Scenario], Scenario]:
    return lambda scenario: replace(scenario, **{name: value})


def in_words(scenario: Scenario) -> list[str]:
    """The scenario as a person reads it, what is not in the lists first."""
    rest = ", ".join(
        f"{field.name} {getattr(scenario, field.name)}" for field in fields(scenario) if field.name not in LISTS
    )
    return [rest, *(str(entry) for name in LISTS for entry in getattr(scenario, name))]
