"""Checks whether orders, stock, reservations and payments agree.

Prints a sentence for each disagreement, for what is overdue, and for what needs attention. The exit status is 1 if
anything disagrees or is overdue, and 2 if the database does not answer.
"""

import argparse
import asyncio

import asyncpg  # type: ignore[import-untyped]  # it ships none

from operations.addresses import Refused, database_url
from operations.books.reading import Books, audit, counts, entries, examine, read
from operations.books.report import metrics, report

__all__ = ["Books", "add_arguments", "audit", "counts", "entries", "examine", "metrics", "read", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settled", action="store_true", help="nothing should move any more: all has to be final")
    parser.add_argument("--metrics", action="store_true", help="print the figures for Prometheus; the status is then 0")


def run(options: argparse.Namespace) -> int:
    try:
        found = asyncio.run(examine(database_url(), settled=options.settled))
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Refused(f"The database does not answer ({error}): is the system up?", 2) from None
    if options.metrics:
        print(metrics(found), end="")
        return 0
    print(report(found))
    return 1 if found.alarming else 0
