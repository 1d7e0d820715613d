"""For the alerts of the objectives, as in alert_cases.py: how fast an error budget burns, over both windows."""

from collections.abc import Mapping
from itertools import chain

from tests.alert_cases import Case

Segment = tuple[float, int]
"""The part that goes wrong, in units of the budget, and for how many minutes."""
A_MINUTE = 100_000_000
FAST, SLOW = "ErrorBudgetBurnsFast", "ErrorBudgetBurns"
BUDGETS = {"orders-taken": 0.001, "orders-decided": 0.01, "events-taken-in": 0.0001}


def counter(*segments: tuple[float, int]) -> str:
    """A counter that rises by so much a minute for so many minutes, one segment after the other."""
    value, values = 0.0, ["0"]
    for rise, minutes in segments:
        values.append(f"{value + rise:.0f}+{rise:.0f}x{minutes - 1}")
        value += rise * minutes
    return " ".join(values)


def requests(*segments: Segment) -> dict[str, str]:
    """POST /orders of two instances, and other requests, all of which fail."""
    name = 'http_request_duration_seconds_count{{instance="{}", method="{}", route="{}", status="{}"}}'
    bad = [(burn * BUDGETS["orders-taken"] * A_MINUTE, minutes) for burn, minutes in segments]
    others = counter((A_MINUTE * 3, sum(minutes for _, minutes in segments)))
    return {
        name.format("a", "POST", "/orders", 201): counter(*((A_MINUTE * 0.7 - rise, minutes) for rise, minutes in bad)),
        name.format("b", "POST", "/orders", 201): counter(*((A_MINUTE * 0.2, minutes) for _, minutes in bad)),
        name.format("b", "POST", "/orders", 422): counter(*((A_MINUTE * 0.1, minutes) for _, minutes in bad)),
        name.format("a", "POST", "/orders", 500): counter(*((rise * 0.7, minutes) for rise, minutes in bad)),
        name.format("a", "POST", "/orders", 503): counter(*((rise * 0.3, minutes) for rise, minutes in bad)),
        name.format("a", "GET", "/orders", 500): others,
        name.format("a", "POST", "/notifications", 500): others,
    }


def decisions(*segments: Segment) -> dict[str, str]:
    """Orders that take 5 s, or a minute. Those that customers cancel took long."""
    name = "order_decided_seconds_{}{{{}}}"
    found = {}
    for status, part in (("completed", 0.7), ("failed", 0.3)):
        total = [(A_MINUTE * part, minutes) for _, minutes in segments]
        good = [((1 - burn * BUDGETS["orders-decided"]) * A_MINUTE * part, minutes) for burn, minutes in segments]
        found[name.format("count", f'status="{status}"')] = counter(*total)
        found[name.format("bucket", f'status="{status}", le="10.0"')] = counter(*good)
        found[name.format("bucket", f'status="{status}", le="5.0"')] = counter(*((rise / 2, its) for rise, its in good))
        found[name.format("bucket", f'status="{status}", le="+Inf"')] = counter(*total)
    cancelled = counter((A_MINUTE * 3, sum(minutes for _, minutes in segments)))
    return found | {
        name.format("count", 'status="cancelled"'): cancelled,
        name.format("bucket", 'status="cancelled", le="+Inf"'): cancelled,
        name.format("bucket", 'status="cancelled", le="10.0"'): counter((A_MINUTE, sum(its for _, its in segments))),
    }


def events(*segments: Segment) -> dict[str, str]:
    bad = [(burn * BUDGETS["events-taken-in"] * A_MINUTE, minutes) for burn, minutes in segments]
    return {
        'events_consumed_total{job="a", type="OrderCreated"}': counter(
            *((A_MINUTE * 0.6 - rise, minutes) for rise, minutes in bad)
        ),
        'events_consumed_total{job="b", type="OrderCreated"}': counter(*((A_MINUTE * 0.4, its) for _, its in bad)),
        'events_dead_lettered_total{job="a", reason="not-json"}': counter(*((rise * 0.9, its) for rise, its in bad)),
        'events_dead_lettered_total{job="b", reason="forged"}': counter(*((rise * 0.1, its) for rise, its in bad)),
    }


SERIES = {"orders-taken": requests, "orders-decided": decisions, "events-taken-in": events}


def fires(slo: str, burn: str) -> Mapping[str, str]:
    within = "a fiftieth of a month's within an hour"
    return {f'slo="{slo}"': f"The error budget of {slo} burns {burn} times too fast: {within}"}


def slowly(slo: str, burn: str) -> Mapping[str, str]:
    within = "a twentieth of a month's within six hours"
    return {f'slo="{slo}"': f"The error budget of {slo} burns {burn} times too fast: {within}"}


def each(slo: str) -> tuple[Case, ...]:
    series = SERIES[slo]
    return (
        Case(FAST, f"{slo}: a little faster than it may", series((14.5, 60)), fires={55: fires(slo, "14.5")}),
        Case(FAST, f"{slo}: a little slower than it may", series((14.3, 60)), silent=[20, 55]),
        Case(SLOW, f"{slo}: a little faster than it may", series((6.05, 60)), fires={55: slowly(slo, "6.05")}),
        Case(SLOW, f"{slo}: a little slower than it may", series((5.95, 60)), silent=[20, 55]),
    )


CASES = (
    *chain.from_iterable(each(slo) for slo in SERIES),
    Case(FAST, "at once", requests((0, 60), (500, 9)), silent=[62], fires={63: fires("orders-taken", "208.3")}),
    Case(SLOW, "at once", requests((0, 400), (500, 9)), silent=[404], fires={405: slowly("orders-taken", "72.58")}),
    Case(FAST, "though it no longer does", requests((20, 60), (14.3, 20)), silent=[68, 75]),
    Case(FAST, "but only now", requests((14.3, 60), (15, 5)), silent=[65]),
    Case(
        FAST,
        "for so long that a fiftieth of the budget is gone, until five minutes have gone well",
        requests((0, 90), (50, 30), (0, 30)),
        silent=[90, 104, 127, 140],
        fires={111: fires("orders-taken", "50"), 123: fires("orders-taken", "29.17")},
    ),
    Case(SLOW, "for hours", requests((6.05, 420)), fires={400: slowly("orders-taken", "6.05")}),
    Case(SLOW, "though it no longer does", requests((7, 60), (5.95, 40)), silent=[95]),
    Case(SLOW, "but only now", requests((5.95, 360), (6.3, 35)), silent=[393]),
    Case(
        SLOW,
        "for so long that a twentieth of the budget is gone, until half an hour has gone well",
        requests((0, 400), (50, 70), (0, 60)),
        silent=[400, 438, 502, 520],
        fires={450: slowly("orders-taken", "50"), 489: slowly("orders-taken", "20.16")},
    ),
    Case(FAST, "where nobody does anything", requests((0, 1)), silent=[1, 30]),
)
