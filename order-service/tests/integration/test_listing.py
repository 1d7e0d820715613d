"""Which indexes the lists for staff use, in a database of this test's own: others leave open orders behind."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from chassis.ports.ids import uuid7
from chassis.testing import make_database, migrate
from chassis.testing.tables import plan_of

from domain.order import Status
from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import listing

COMPLETED, OTHERS = 100_000, 60
INSERT = """
    INSERT INTO orders (id, customer_id, items, total_amount, currency, status, reason, due_at, timeline, expires_at,
                        created_at, updated_at, traceparent)
    SELECT gen_random_uuid(), gen_random_uuid(), '[]', 1, 'USD', $1, $2, $3::timestamptz, '[]', now(), now(), now(), ''
    FROM generate_series(1, $4)
"""


@pytest.fixture(scope="module")
def large_database(database_url: str) -> Iterator[str]:
    """`database_url` skips the tests where no server is."""
    url, remove = make_database()
    migrate(Path(__file__).parents[2], url, "upgrade", "head")
    plain = url.replace("+asyncpg", "")

    async def fill() -> None:
        connection = await asyncpg.connect(plain, server_settings={"search_path": SCHEMA})
        now = await connection.fetchval("SELECT now()")
        for status in Status:
            undone, is_open = status in (Status.FAILED, Status.CANCELLED), status in (Status.PENDING, Status.CONFIRMED)
            count = COMPLETED if status is Status.COMPLETED else OTHERS
            await connection.execute(INSERT, status, "a-reason" if undone else None, now if is_open else None, count)
        await connection.execute("ANALYZE orders")
        await connection.close()

    asyncio.run(fill())
    yield url
    remove()


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.COMPLETED])
async def test_the_few_in_another_status_are_found_without_a_look_at_the_many_completed(
    large_database: str, status: Status
) -> None:
    listed = listing("status", status=status)
    plan = await plan_of(large_database, SCHEMA, listed, f"'{uuid7()}'", f"'{status}'", "50")
    assert "Seq Scan" not in plan
    assert "orders_pkey" not in plan
