"""The command line: see the package's docstring."""

import argparse
import os
import sys
from collections import Counter

from simulation.campaign import Result, explain, hunt, run_many
from simulation.mutations import ALL
from simulation.workers import Workers


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m simulation", description="The four services under a seeded scheduler."
    )
    environment = os.environ
    parser.add_argument("--seed", type=int, default=environment.get("SEED") or None, help="the first seed (1)")
    parser.add_argument("--runs", type=int, default=environment.get("RUNS") or None, help="how many seeds from it on")
    parser.add_argument("--processes", type=int, help="how many at once (as many as there are processors)")
    parser.add_argument("--mutations", action="store_true", help="which seed catches each mutation")
    parser.add_argument("--mutation", choices=sorted(ALL), metavar="NAME", help="replay the seed with this mutation")
    options = parser.parse_args()
    if options.mutations:
        return _mutations(options.seed or 1, options.runs or 1000, options.processes)
    if options.mutation or (options.seed is not None and options.runs is None):
        with Workers(options.mutation or "") as workers:
            return 1 if explain(options.seed or 1, workers, print) else 0
    result = run_many(options.seed or 1, options.runs or 1000, options.processes)
    _report(result)
    if result.failures:
        print()
        with Workers() as workers:
            explain(result.failures[0][0], workers, print)
    return 1 if result.failures else 0


def _report(result: Result) -> None:
    counts = dict(result.counts)
    print(f"{result.runs} runs in {result.seconds:.0f} s: {len(result.failures)} failed. Digest {result.digest:016x}.")
    print(
        ", ".join(f"{counts.pop(name, 0)} {name}" for name in ("events", "commits", "messages", "gateway calls")) + "."
    )
    for kind in ("orders", "reservations", "payments"):
        of_kind = sorted((-counts.pop(name), name.split()[1]) for name in list(counts) if name.startswith(f"{kind} "))
        print(f"{kind.capitalize()}: " + ", ".join(f"{-number} {status}" for number, status in of_kind if status) + ".")
    print("Faults: " + ", ".join(f"{number} {name}" for name, number in Counter(counts).most_common()) + ".")
    for seed, sentence in result.failures:
        print(f"  SEED={seed}: {sentence}")


def _mutations(first: int, runs: int, processes: int | None) -> int:
    caught = {catch.mutation: catch for catch in hunt(ALL, range(first, first + runs), processes)}
    print("| mutation | caught by seed | by what |\n|---|---|---|")
    for name in ALL:
        seed = caught[name].seed
        by_what = caught[name].sentence if seed is not None else f"healed: {caught[name].sentence or 'NO'}"
        print(f"| {name} | {'none' if seed is None else seed} | {by_what} |")
    return 1 if any(catch.seed is None and not catch.sentence for catch in caught.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
