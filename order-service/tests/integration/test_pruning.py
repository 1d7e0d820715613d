"""What is old and needed no more goes; everything else stays: on the real tables."""

from collections.abc import AsyncIterator, Mapping

import pytest
from chassis.postgres import idempotency
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

from domain.order import Status
from infrastructure.tables import SCHEMA, metadata
from tests.contracts import ROOT
from tests.rows import a_key_row, an_order_row


def decisions() -> Mapping[str, Decision]:
    return {
        "orders": Decision(stay=[an_order_row(status, ago(LONG)) for status in Status]),
        "idempotency_keys": Decision(
            stay=[a_key_row(), a_key_row(ago(DAY - HOUR))], go=[a_key_row(ago(DAY + HOUR)), a_key_row(ago(LONG))]
        ),
        **inbox_and_outbox(),
    }


@pytest.fixture
async def tables(database_url: str) -> AsyncIterator[Tables]:
    async with emptied(database_url, SCHEMA, metadata) as tables:
        yield tables


async def test_what_is_old_and_needed_no_more_goes_and_everything_else_stays(
    tables: Tables, database: Database
) -> None:
    stays = await tables.fill(decisions())
    await prune(database, idempotency.PRUNE)
    assert await tables.left() == stays


async def test_the_service_prunes_by_itself_at_once_and_again(tables: Tables, orders_url: str, broker_url: str) -> None:
    await prunes_by_itself(ROOT / "order-service", tables, decisions(), broker_url, orders_url)
