"""The database's own net: whatever a mistake in the code may write, these are refused."""

from collections.abc import Mapping, Sequence

import pytest
from chassis.testing.tables import SAME, Row, connected, refused_by, rules, without_null

from domain.hold import Status
from infrastructure.tables import SCHEMA, metadata
from tests.rows import ROWS, a_hold_row

REFUSED: Mapping[str, Sequence[Row]] = {
    "inventory_items.inventory_items_pkey": [{"id": SAME}],
    "inventory_items.inventory_items_product_id_key": [{"product_id": SAME}],
    "inventory_items.inventory_items_available": [{"quantity_available": -1}],
    "inventory_items.inventory_items_reserved": [{"reserved_quantity": -1}],
    "holds.holds_pkey": [{"order_id": SAME}],
    "holds.holds_status": [{"status": "new"}, {"status": "HELD"}, {"status": ""}],
    "inbox.inbox_pkey": [{"consumer": SAME, "event_id": SAME}],
    "outbox.outbox_pkey": [{"id": SAME}],
    **without_null(metadata),
}
"""The changes by which a good row breaks one rule, and no other, beside another good row."""


@pytest.mark.parametrize(("rule", "changes"), [(rule, changes) for rule, cases in REFUSED.items() for changes in cases])
async def test_what_breaks_a_rule_of_the_tables_is_refused(database_url: str, rule: str, changes: Row) -> None:
    table = rule.partition(".")[0]
    async with connected(database_url, SCHEMA) as connection:
        assert await refused_by(connection, table, ROWS[table](), {**ROWS[table](), **changes}) == rule


async def test_every_rule_that_the_database_has_is_among_those_shown_to_refuse(database_url: str) -> None:
    async with connected(database_url, SCHEMA) as connection:
        assert await rules(connection, SCHEMA) == set(REFUSED)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.NEW])
async def test_every_state_that_the_domain_knows_can_be_kept(database_url: str, status: Status) -> None:
    async with connected(database_url, SCHEMA) as connection:
        assert await refused_by(connection, "holds", a_hold_row(status), a_hold_row(status)) is None
