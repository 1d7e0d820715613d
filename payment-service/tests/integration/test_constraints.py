"""The database's own net: whatever a mistake in the code may write, these are refused."""

from collections.abc import Mapping, Sequence

import pytest
from chassis.testing.tables import SAME, Row, connected, refused_by, rules, without_null

from domain.payment import Status
from infrastructure.tables import SCHEMA, metadata
from tests.rows import ROWS, a_payment_row

REFUSED: Mapping[str, Sequence[Row]] = {
    "payments.payments_pkey": [{"id": SAME}],
    "payments.payments_order_id_key": [{"order_id": SAME}],
    "payments.payments_status": [{"status": "new"}, {"status": "PENDING"}, {"status": ""}],
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
        assert await refused_by(connection, "payments", a_payment_row(status), a_payment_row(status)) is None
