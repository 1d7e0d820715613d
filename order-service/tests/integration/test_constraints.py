"""The database's own net: whatever a mistake in the code may write, these are refused."""

import pytest
from chassis.testing.tables import SAME, Cases, Net, Row, everywhere

from domain.order import Status
from infrastructure.tables import SCHEMA, metadata
from tests.rows import ROWS, an_order_row

REFUSED: Cases = {
    "orders.orders_pkey": [{"id": SAME}],
    "orders.orders_status": [{"status": "lost"}, {"status": "PENDING"}, {"status": ""}],
    "orders.orders_due": [{"due_at": None}, {"status": "completed"}, {"status": "failed"}, {"status": "cancelled"}],
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


@pytest.mark.parametrize("status", Status)
async def test_every_state_that_the_domain_knows_can_be_kept(net: Net, status: Status) -> None:
    assert await net.keeps("orders", an_order_row(status), an_order_row(status))
