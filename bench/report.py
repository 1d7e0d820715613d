"""The table, and the line that sums it up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ladder import RUNGS
from operations.addresses import SERVICES
from rounds import CONSOLE, EDGE, GENERATOR, Figures
from watched import WATCHED

Rounds = Mapping[str, Sequence[Figures]]
"""The rounds of each contestant."""


OTHERS_SHARE = 0.1


@dataclass(frozen=True)
class Row:
    label: str
    figure: str
    digits: int
    factor: float = 1
    if_any: bool = False
    """Only worth a line where it isn't zero."""


ROWS = (
    Row("accepted, orders/s", "accepted/s", 0),
    Row("completed, orders/s", "completed/s", 0),
    Row("POST p50, ms", "post p50", 1),
    Row("POST p99, ms", "post p99", 1),
    Row("POST to completed p50, ms", "loaded completed p50", 0),
    Row("at 20 orders/s: POST p50, ms", "low post p50", 1),
    Row("at 20 orders/s: POST p99, ms", "low post p99", 1),
    Row("at 20 orders/s: POST to completed p50, ms", "low completed p50", 1),
    Row("at 20 orders/s: POST to completed p99, ms", "low completed p99", 1),
    Row("CPU, ms an order", "cpu", 2),
    Row("- Python", "cpu Python", 2),
    *(Row(f"-- {service}", f"cpu {service}", 2) for service in SERVICES),
    Row("- PostgreSQL", "cpu PostgreSQL", 2),
    Row("- RabbitMQ", "cpu RabbitMQ", 2),
    Row("- edge", f"cpu {EDGE}", 2),
    Row("- console", f"cpu {CONSOLE}", 2),
    Row("load generator's CPU, ms an order", f"cpu {GENERATOR}", 2),
    Row("memory of the services (RSS), MB", "rss", 0),
    Row("memory of the services (PSS), MB", "pss", 0),
    Row("transactions an order", "transactions an order", 2),
    Row("AMQP messages an order", "published an order", 2),
    Row("AMQP deliveries an order", "delivered an order", 2),
    Row("orders refused at first", "refused", 0, if_any=True),
    Row("disagreements in the books", "disagreements", 0),
    Row("CPU used by others, %", "others", 0, factor=100),
)


def middle(rounds: Sequence[Figures], figure: str) -> float | None:
    """The median; None if it wasn't measured."""
    values = [figures[figure] for figures in rounds if figure in figures]
    return median(values) if values else None


def ratio(rounds: Rounds, figure: str, of: str = "system", to: str = "baseline") -> float | None:
    """Of one contestant to another: the median of the rounds' ratios, since what disturbs a machine for a while
    disturbs both halves of a round."""
    pairs = zip(rounds.get(of, ()), rounds.get(to, ()), strict=False)
    ratios = [ours[figure] / theirs[figure] for ours, theirs in pairs if ours.get(figure) and theirs.get(figure)]
    return median(ratios) if ratios else None


def prices(rounds: Rounds) -> str:
    """Of each rung: what it has of the clean system's figures, and what it costs more than the rung before."""
    compared = ("completed/s", "post p50", "low completed p50", "cpu")
    costs = ("cpu", *(f"cpu {name}" for name in (*SERVICES, "PostgreSQL", "RabbitMQ", EDGE)))
    rows = [
        ["of the system's", "orders/s", "POST p50", "lone order's p50", "CPU", "CPU-ms an order more"]
        + [cost.removeprefix("cpu ").removesuffix("-service") for cost in costs[1:]]
    ]
    before = "system"
    for rung in (name for name in rounds if name in RUNGS):
        ratios = (ratio(rounds, figure, rung, "system") for figure in compared)
        more = (_difference(rounds, figure, rung, before) for figure in costs)
        rows.append([rung, *("" if found is None else f"{found:.2f}" for found in ratios), *more])
        before = rung
    return _aligned(rows)


def _difference(rounds: Rounds, figure: str, of: str, to: str) -> str:
    pairs = zip(rounds[of], rounds.get(to, ()), strict=False)
    found = [ours.get(figure, 0) - theirs.get(figure, 0) for ours, theirs in pairs]
    return f"{median(found):+.3f}" if found else ""


def table(rounds: Rounds) -> str:
    rows = [["", *rounds, *(["system/baseline"] if {"system", "baseline"} <= rounds.keys() else [])]]
    rows += _cells(rounds, len(rows[0]) > len(rounds) + 1)
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    for row in rows:
        row[0] = row[0].ljust(widths[0])
    return "\n".join(
        f"| {' | '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows
    )


def _cells(rounds: Rounds, compared: bool) -> Iterator[list[str]]:
    for row in ROWS:
        measured = [
            [figures[row.figure] * row.factor for figures in of if row.figure in figures] for of in rounds.values()
        ]
        if not any(any(values) for values in measured) if row.if_any else not any(measured):
            continue
        cells = [row.label, *(_spread(values, row.digits) for values in measured)]
        if compared:
            of_both = ratio(rounds, row.figure)
            cells.append("" if of_both is None else f"{of_both:.2f}" if of_both < 10 else f"{of_both:.1f}")
        yield cells


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return ""
    shown = f"{median(values):,.{digits}f}"
    return shown if len(values) == 1 else f"{shown} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"


def disturbed(rounds: Rounds) -> list[str]:
    """The rounds in which others had more than OTHERS_SHARE of the machine. The kernel, writing for us, is one."""
    return [
        f"round {number}, {name}: {figures['others']:.0%}"
        for name, of in rounds.items()
        for number, figures in enumerate(of, start=1)
        if figures["others"] > OTHERS_SHARE
    ]


def last_line(rounds: Rounds) -> str:
    """Medians; the latency is that of POST to completed at low load."""
    of_system = rounds.get("system", ())
    parts = (
        *((ratio(rounds, "completed/s", more, "system"), f"{more}/system {{:.2f}} x") for more in (*RUNGS, *WATCHED)),
        (ratio(rounds, "completed/s"), "system/baseline {:.1f} x"),
        (middle(of_system, "cpu"), "{:.2f} CPU-ms an order"),
        (middle(of_system, "low completed p50"), "p50 {:.1f} ms"),
    )
    return ", ".join(text.format(value) for value, text in parts if value is not None)
