"""What Prometheus is told of the books and of PostgreSQL."""

import re

import httpx
import pytest
from chassis.testing import eventually
from prometheus_client.parser import text_string_to_metric_families

from operations import books, metrics
from tests.planted import Planted

NOWHERE = "postgresql://postgres:secret@127.0.0.1:1/nowhere"


def samples(text: str) -> dict[str, float]:
    """By name, and the value of the last label."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[" ".join([sample.name, *[value for _, value in sorted(sample.labels.items())]])] = sample.value
    return found


def client(exporter: metrics.Exporter) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(metrics.app(exporter)), base_url="http://metrics")


async def test_the_books_and_the_database_are_told_in_one_answer(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", planted.url)
    exporter = metrics.Exporter()
    async with exporter.lifespan(metrics.app(exporter)), client(exporter) as asked:
        found: dict[str, float] = {}

        async def has_the_books() -> bool:
            nonlocal found
            found = samples((await asked.get("/metrics")).text)
            return "books_violations" in found

        await eventually(has_the_books)
    assert found["books_violations"] == 0
    assert found["books_orders completed"] > 0
    assert found["pg_stat_database_xact_commit"] > 0
    assert found["pg_database_size_bytes"] > 1_000_000
    assert 0 < found["pg_stat_activity_count postgres"] < found["pg_settings_max_connections"]
    assert found["pg_table_total_size_bytes orders orders"] > 0
    assert found["pg_locks_waiting"] == 0


async def test_it_goes_on_while_the_database_is_away_and_says_so(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", NOWHERE)
    exporter = metrics.Exporter(books_every_seconds=0.01)
    async with exporter.lifespan(metrics.app(exporter)), client(exporter) as asked:
        refused = await asked.get("/metrics")
        monkeypatch.setenv("DATABASE_URL", planted.url)

        async def has_the_books() -> bool:
            return "books_violations" in (await asked.get("/metrics")).text

        await eventually(has_the_books)
    assert refused.status_code == 503
    assert "The database does not answer" in refused.text
    assert not re.search("secret|nowhere", refused.text)


async def test_a_defect_in_the_books_is_not_hidden_by_figures_that_stay_as_they_were(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def defective(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setenv("DATABASE_URL", planted.url)
    monkeypatch.setattr(books, "examine", defective)
    exporter = metrics.Exporter()
    async with exporter.lifespan(metrics.app(exporter)), client(exporter) as asked:

        async def fails() -> bool:
            try:
                return (await asked.get("/metrics")).status_code == 500
            except ZeroDivisionError:
                return True

        await eventually(fails)


def test_reading_the_books_takes_a_tenth_of_the_time_at_most() -> None:
    exporter = metrics.Exporter(books_every_seconds=60)
    assert [exporter.rest_seconds(took) for took in (2, 20)] == [60, 180]


async def test_a_look_at_the_database_leaves_no_connection(planted: Planted) -> None:
    def connections(text: str) -> float:
        return samples(text)["pg_stat_activity_count postgres"]

    before = connections(await metrics.database_figures(planted.url))

    async def no_more() -> bool:
        return connections(await metrics.database_figures(planted.url)) <= before

    for _ in range(5):
        await metrics.database_figures(planted.url)
    await eventually(no_more)
