"""How the services' statements find their rows, as PostgreSQL counts it."""

import asyncpg  # type: ignore[import-untyped]  # it ships none
from chassis.testing import eventually

from operations.shop import Line
from shop import Shop
from system import System

ORDERS = 5
_AN_ORDER = {"orders_changed": 2, "reservations_changed": 1, "payments_changed": 1, "events_sent": 5}
_COUNTED = """
    SELECT coalesce(sum(seq_scan), 0)::int AS scans,
        coalesce(sum(n_tup_upd) FILTER (WHERE relname = 'orders'), 0)::int AS orders_changed,
        coalesce(sum(n_tup_upd) FILTER (WHERE relname = 'reservations'), 0)::int AS reservations_changed,
        coalesce(sum(n_tup_upd) FILTER (WHERE relname = 'payments'), 0)::int AS payments_changed,
        coalesce(sum(n_tup_del) FILTER (WHERE relname = 'outbox'), 0)::int AS events_sent
    FROM pg_stat_user_tables WHERE schemaname IN ('orders', 'inventory', 'payments')
"""


async def test_no_statement_on_an_orders_way_reads_the_whole_of_a_table(system: System, shop: Shop) -> None:
    """Small tables are where the planner would: these have some dozens of rows."""
    database = await asyncpg.connect(system.database_url.replace("+asyncpg", ""))
    try:
        before = await database.fetchrow(_COUNTED)
        product = await shop.stock(ORDERS)
        for _ in range(ORDERS):
            order = await shop.place(Line(product))
            await shop.ended(order["id"])

        async def all_counted() -> bool:
            """A connection tells its counts up to 10 s late, all of them at once."""
            since = await database.fetchrow(_COUNTED)
            return all(since[name] >= before[name] + an_order * ORDERS for name, an_order in _AN_ORDER.items())

        await eventually(all_counted, seconds=30)
        assert (await database.fetchval(_COUNTED)) == before["scans"]
    finally:
        await database.close()
