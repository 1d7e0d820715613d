from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chassis.testing import make_database, migrate
from chassis.testing.migrations import MigrationRules, query

from infrastructure.tables import SCHEMA, metadata


class TestMigrations(MigrationRules):
    schema = SCHEMA
    metadata = metadata


@pytest.fixture
def fresh_database(database_url: str) -> Iterator[str]:
    """An empty database; the run's own is only asked for because it skips where there is no server."""
    url, remove = make_database()
    yield url
    remove()


@pytest.fixture
def alembic(pytestconfig: pytest.Config, fresh_database: str) -> Callable[..., str]:
    return lambda *command: migrate(pytestconfig.rootpath, fresh_database, *command)


def tables_and_owners(url: str) -> dict[str, str]:
    return dict(query(url, f"SELECT tablename, tableowner FROM pg_tables WHERE schemaname = '{SCHEMA}'"))


def table_named(name: str, url: str) -> dict[str, list[Any]]:
    """All that a renaming must keep; the names of indexes and constraints without the table's own name in them."""
    table = f"'{SCHEMA}.{name}'::regclass"
    names = query(
        url,
        f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = {table}"
        f" UNION SELECT conname FROM pg_constraint WHERE conrelid = {table}",
    )
    return {
        "rows": query(url, f"SELECT * FROM {SCHEMA}.{name} ORDER BY order_id"),
        "names": sorted(own.replace(name, "*") for (own,) in names),
        "rights": query(
            url, f"SELECT relowner::regrole::text, relacl::text, reloptions FROM pg_class WHERE oid = {table}"
        ),
        "statistics": query(url, f"SELECT attname, attstattarget FROM pg_attribute WHERE attrelid = {table}"),
    }


def test_the_renaming_of_holds_to_reservations_keeps_all_that_the_table_has_both_ways(
    fresh_database: str, alembic: Callable[..., str]
) -> None:
    alembic("upgrade", "0003")
    insert = """
        INSERT INTO holds (order_id, customer_id, status, reason, items, expires_at, due_at, remind_at, traceparent)
        SELECT gen_random_uuid(), gen_random_uuid(), status, 'a reason', '[{"quantity": 1}]', now(), now(), now(), ''
        FROM unnest(ARRAY['held', 'sold', 'released', 'refused', 'void']) AS status
    """
    query(fresh_database, insert)
    before = table_named("holds", fresh_database)
    assert len(before["rows"]) == 5
    assert before["names"] == ["*_due_at", "*_pkey", "*_remind_at", "*_status"]
    assert "auditor=r/" in before["rights"][0][1]

    alembic("upgrade", "0004")
    assert table_named("reservations", fresh_database) == before
    assert "holds" not in tables_and_owners(fresh_database)
    alembic("downgrade", "0003")
    assert table_named("holds", fresh_database) == before
    assert "reservations" not in tables_and_owners(fresh_database)


def test_stock_that_is_held_when_the_service_is_updated_asks_again_and_tombstones_keep_their_time(
    fresh_database: str, alembic: Callable[..., str]
) -> None:
    hold = """
        INSERT INTO holds (order_id, customer_id, status, expires_at, due_at, traceparent)
        SELECT gen_random_uuid(), gen_random_uuid(), '%s', now() + interval '15 minutes', %s, ''
    """
    due = "now() + interval '1 hour'"
    alembic("upgrade", "0002")
    for status, due_at in (("held", due), ("sold", "NULL"), ("void", due)):
        query(fresh_database, hold % (status, due_at))

    soon = "remind_at BETWEEN now() + interval '1 second' AND now() + interval '60 seconds'"
    alembic("upgrade", "head")
    assert query(fresh_database, f"SELECT status, due_at IS NULL, {soon} FROM reservations ORDER BY status") == [
        ("held", True, True),
        ("sold", True, None),
        ("void", False, None),
    ]
    alembic("downgrade", "0002")
    assert query(fresh_database, "SELECT status, due_at IS NULL, reminders FROM holds ORDER BY status") == [
        ("held", False, 0),
        ("sold", True, 0),
        ("void", False, 0),
    ]


def test_items_get_no_price_by_0005_and_the_version_before_goes_on_beside_it(
    fresh_database: str, alembic: Callable[..., str]
) -> None:
    item = """
        INSERT INTO inventory_items (id, product_id, quantity_available, reserved_quantity, created_at, updated_at)
        SELECT gen_random_uuid(), gen_random_uuid(), %s, 0, now(), now()
    """
    prices = "SELECT quantity_available, price FROM inventory_items ORDER BY 1"
    alembic("upgrade", "0004")
    query(fresh_database, item % 1)
    alembic("upgrade", "head")
    query(fresh_database, item % 2)
    query(fresh_database, "UPDATE inventory_items SET reserved_quantity = 1 WHERE quantity_available = 1")
    assert query(fresh_database, prices) == [(1, None), (2, None)]

    query(fresh_database, "UPDATE inventory_items SET price = 9999999999.99, priced_at = now()")
    alembic("downgrade", "0004")
    assert query(fresh_database, "SELECT quantity_available FROM inventory_items ORDER BY 1") == [(1,), (2,)]
    alembic("upgrade", "head")
    assert query(fresh_database, prices) == [(1, None), (2, None)]


def test_the_version_before_goes_on_beside_0006_and_0007_and_no_row_is_rewritten(
    fresh_database: str, alembic: Callable[..., str]
) -> None:
    item = """
        INSERT INTO inventory_items (id, product_id, quantity_available, reserved_quantity, created_at, updated_at)
        SELECT gen_random_uuid(), gen_random_uuid(), %s, 0, now(), now()
    """
    refused = """
        INSERT INTO reservations (order_id, customer_id, status, reason, items, expires_at, traceparent)
        SELECT gen_random_uuid(), gen_random_uuid(), 'refused', '%s', '[]', now(), ''
    """
    files = f"SELECT pg_relation_filenode('{SCHEMA}.inventory_items'), pg_relation_filenode('{SCHEMA}.reservations')"
    alembic("upgrade", "0005")
    query(fresh_database, item % 1)
    query(fresh_database, refused % "first")
    before = query(fresh_database, files)
    alembic("upgrade", "head")
    assert query(fresh_database, files) == before
    query(fresh_database, item % 2)
    query(fresh_database, refused % "second")
    revisions = "SELECT quantity_available, revision FROM inventory_items ORDER BY 1"
    assert query(fresh_database, revisions) == [(1, 1), (2, 1)]
    shortages = "SELECT reason, shortages::text FROM reservations ORDER BY 1"
    assert query(fresh_database, shortages) == [("first", "[]"), ("second", "[]")]
    alembic("downgrade", "0005")
    assert query(fresh_database, "SELECT quantity_available FROM inventory_items ORDER BY 1") == [(1,), (2,)]
