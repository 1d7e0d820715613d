"""The database's own net: whatever a mistake in the code may write, these are refused."""

from datetime import UTC, datetime

import pytest
from chassis.testing.tables import SAME, Cases, Net, Row, everywhere

from domain.reservation import Status
from infrastructure.tables import SCHEMA, metadata
from tests.rows import ROWS, a_reservation_row

REFUSED: Cases = {
    "inventory_items.inventory_items_pkey": [{"id": SAME}],
    "inventory_items.inventory_items_product_id_key": [{"product_id": SAME}],
    "inventory_items.inventory_items_available": [{"quantity_available": -1}],
    "inventory_items.inventory_items_reserved": [{"reserved_quantity": -1}],
    "inventory_items.inventory_items_price": [{"price": price, "priced_at": datetime.now(UTC)} for price in (0, -1)],
    "inventory_items.inventory_items_priced": [{"price": 1}],
    "reservations.reservations_pkey": [{"order_id": SAME}],
    "reservations.reservations_status": [{"status": "new"}, {"status": "HELD"}, {"status": ""}],
    "stock_changes.stock_changes_pkey": [{"id": SAME}],
    "idempotency_keys.idempotency_keys_pkey": [{"caller": SAME, "key": SAME}],
    **everywhere(metadata),
}


@pytest.fixture
def net(database_url: str) -> Net:
    return Net(database_url, SCHEMA, ROWS)


@pytest.mark.parametrize(("rule", "changes"), [(rule, changes) for rule, cases in REFUSED.items() for changes in cases])
async def test_what_breaks_a_rule_of_the_tables_is_refused(net: Net, rule: str, changes: Row) -> None:
    assert await net.refuses(rule, changes)


async def test_every_rule_that_the_database_has_is_among_those_shown_to_refuse(net: Net) -> None:
    assert await net.rules() == set(REFUSED)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.NEW])
async def test_every_state_that_the_domain_knows_can_be_kept(net: Net, status: Status) -> None:
    assert await net.keeps("reservations", a_reservation_row(status), a_reservation_row(status))
