"""Figures of the last ten minutes."""

from application.events import INVENTORY, LANES, ORDER
from application.figures import POINTS, Figures, Reading, Replica, Waiting, percentiles


def reading(at: float, *replicas: Replica, waiting: dict[str, Waiting] | None = None) -> Reading:
    return Reading(at, {ORDER: replicas}, waiting or {})


def replica(name: str = "a", **figures: float) -> Replica:
    return Replica(name, "ok", figures={key.replace("__", "/"): value for key, value in figures.items()})


def test_rates_are_what_all_replicas_counted_since_the_last_look() -> None:
    figures = Figures()
    figures.turn(reading(100, replica("a", orders_total__pending=50), replica("b", orders_total__pending=7)), [])
    assert figures.points[-1].placed == 0
    figures.turn(reading(102, replica("a", orders_total__pending=60), replica("b", orders_total__pending=17)), [])
    assert figures.points[-1].placed == 10


def test_a_process_that_began_anew_counts_from_nothing() -> None:
    figures = Figures()
    figures.turn(reading(100, replica(orders_total__completed=5_000)), [])
    figures.turn(reading(101, replica(orders_total__completed=8)), [])
    assert figures.points[-1].completed == 8


def test_who_is_away_for_a_moment_makes_no_peak() -> None:
    figures = Figures()
    figures.turn(reading(100, replica(orders_total__completed=5_000)), [])
    figures.turn(reading(101, Replica("a", "away")), [])
    figures.turn(reading(102, replica(orders_total__completed=5_001)), [])
    assert figures.points[-1].completed == 1


def test_failed_and_cancelled_orders_are_undone() -> None:
    figures = Figures()
    figures.turn(reading(100, replica(orders_total__failed=1, orders_total__cancelled=1)), [])
    figures.turn(reading(101, replica(orders_total__failed=3, orders_total__cancelled=2)), [])
    assert figures.points[-1].undone == 3


def test_gauges_are_no_rates_and_the_outbox_is_one_for_all_replicas() -> None:
    figures = Figures()
    for at in (100, 101):
        replicas = [replica("a", outbox_backlog=5, outbox_oldest_age_seconds=1), replica("b", outbox_backlog=9)]
        figures.turn(reading(at, *replicas), [])
    assert figures.rates[ORDER] == {}
    assert figures.counted(ORDER, "outbox_backlog") == 14
    assert figures.counted(INVENTORY, "outbox_backlog") == 0
    assert figures.outbox(ORDER) == (9, 1)
    assert figures.outbox(INVENTORY) == (0, 0)


def test_the_backlog_is_what_waits_anywhere_but_the_dead_letters() -> None:
    figures = Figures()
    assert figures.backlog() is None
    waiting = {lane: Waiting(1, 2, 100) for lane in LANES}
    figures.turn(reading(100, replica(outbox_backlog=4), waiting=waiting), [])
    assert figures.points[-1].backlog == 4 + 4 * 3


def test_nobody_can_say_the_backlog_while_the_broker_is_away() -> None:
    figures = Figures()
    figures.turn(reading(100, replica(outbox_backlog=4)), [])
    assert figures.points[-1].backlog is None


def test_percentiles_are_of_the_last_seconds() -> None:
    figures = Figures()
    durations = [(50.0, 60.0), *((99.0, number / 100) for number in range(100))]
    figures.turn(reading(100), durations)
    assert (figures.points[-1].p50, figures.points[-1].p99) == (0.5, 0.99)
    figures.turn(reading(200), durations)
    assert (figures.points[-1].p50, figures.points[-1].p99) == (None, None)
    assert percentiles([3.0]) == (3.0, 3.0)


def test_the_points_are_bounded_and_the_columns_are_as_long() -> None:
    figures = Figures()
    for at in range(POINTS + 50):
        figures.turn(reading(at), [])
    columns = figures.columns()
    assert {len(column) for column in columns.values()} == {POINTS}
    assert columns["at"][-1] == POINTS + 49
