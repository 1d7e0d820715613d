"""Which indexes the list for staff uses, in a database of this test's own."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships none
import pytest
from chassis.ports.ids import uuid7
from chassis.testing import make_database, migrate
from chassis.testing.tables import plan_of

from domain.payment import Status
from infrastructure.tables import SCHEMA
from infrastructure.unit_of_work import listing

COMPLETED, OTHERS = 100_000, 60
LISTED = [status for status in Status if status not in (Status.NEW, Status.VOID, Status.COMPLETED)]
DUE = (Status.PENDING, Status.PROCESSING, Status.REFUNDING)
INSERT = """
    INSERT INTO payments (id, order_id, customer_id, amount, currency, status, reason, due_at, expires_at, traceparent)
    SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 'USD', $1, $2, $3::timestamptz, now(), ''
    FROM generate_series(1, $4)
"""


@pytest.fixture(scope="module")
def large_database(database_url: str) -> Iterator[str]:
    """`database_url` skips the tests where no server is."""
    url, remove = make_database()
    migrate(Path(__file__).parents[2], url, "upgrade", "head")

    async def fill() -> None:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""), server_settings={"search_path": SCHEMA})
        now = await connection.fetchval("SELECT now()")
        await connection.execute(INSERT, Status.COMPLETED, None, None, COMPLETED)
        for status in LISTED:
            reason = None if status in (Status.PENDING, Status.PROCESSING) else "a-reason"
            await connection.execute(INSERT, status, reason, now if status in DUE else None, OTHERS)
        await connection.execute("ANALYZE payments")
        await connection.close()

    asyncio.run(fill())
    yield url
    remove()


@pytest.mark.parametrize("status", LISTED)
async def test_the_few_in_another_status_are_found_without_a_look_at_the_many_completed(
    large_database: str, status: Status
) -> None:
    # In the order in which SQLAlchemy numbers them: the cursor, the tombstones' status, this status, how many.
    plan = await plan_of(large_database, SCHEMA, listing(status), f"'{uuid7()}'", "'void'", f"'{status}'", "50")
    assert "Seq Scan" not in plan
    assert "payments_pkey" not in plan
