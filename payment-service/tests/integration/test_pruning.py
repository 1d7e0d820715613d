"""What is old and needed no more goes; everything else stays: on the real tables."""

from collections.abc import AsyncIterator, Mapping

import pytest
from chassis.postgres.database import Database
from chassis.testing.pruning import (
    DAY,
    HOUR,
    LONG,
    Decision,
    Tables,
    ago,
    emptied,
    inbox_and_outbox,
    prune,
    prunes_by_itself,
)

from domain.payment import Status, payment_id
from infrastructure.tables import SCHEMA, metadata
from infrastructure.unit_of_work import OLD_TOMBSTONES
from tests.integration.worker import Worker
from tests.messages import reserved, undone
from tests.rows import a_payment_row

RECORDS = set(Status) - {Status.NEW, Status.VOID}


def decisions() -> Mapping[str, Decision]:
    return {
        "payments": Decision(
            stay=[a_payment_row(status, ago(LONG)) for status in RECORDS], go=[a_payment_row(Status.VOID, ago(LONG))]
        ),
        **inbox_and_outbox(),
    }


@pytest.fixture
async def tables(database_url: str) -> AsyncIterator[Tables]:
    async with emptied(database_url, SCHEMA, metadata) as tables:
        yield tables


async def test_what_is_old_and_needed_no_more_goes_and_everything_else_stays(
    database: Database, tables: Tables
) -> None:
    stays = await tables.fill(decisions())
    await prune(database, OLD_TOMBSTONES)
    assert await tables.left() == stays


@pytest.mark.parametrize("undone_before_it_came", [True, False])
async def test_a_tombstone_stays_until_seven_days_past_its_orders_deadline(
    worker: Worker, database: Database, tables: Tables, undone_before_it_came: bool
) -> None:
    young, old = [reserved(expires_at=ago(time)) for time in (7 * DAY - HOUR, 7 * DAY + HOUR)]
    await worker.take(*(undone(order) if undone_before_it_came else order for order in (young, old)))
    young_key, old_key = [(str(payment_id(order.order_id)),) for order in (young, old)]
    assert (await tables.left())["payments"] == {young_key, old_key}
    await prune(database, OLD_TOMBSTONES)
    assert (await tables.left())["payments"] == {young_key}


async def test_the_service_prunes_by_itself_at_once_and_again(
    pytestconfig: pytest.Config, tables: Tables, database_url: str, rabbitmq_url: str
) -> None:
    await prunes_by_itself(pytestconfig.rootpath, tables, decisions(), rabbitmq_url, database_url)
