"""Identifiers by their time."""

from datetime import UTC, datetime, timedelta

from chassis.ports.ids import CLOCKS_DIFFER_BY, first_id, uuid7


def test_a_search_by_time_stops_only_below_all_that_may_have_been_created_since() -> None:
    """The clock that made the id may be behind the database's, which says when something was created."""
    now, second = datetime.now(UTC), timedelta(seconds=1)
    made = uuid7()
    assert first_id(now - second) < made
    assert first_id(now + CLOCKS_DIFFER_BY - second) < made < first_id(now + CLOCKS_DIFFER_BY + second)
    assert first_id(datetime(1, 1, 2, tzinfo=UTC)).int == 0
