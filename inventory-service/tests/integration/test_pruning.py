"""What is old and needed no more goes; everything else stays: on the real tables."""

from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import pytest
from chassis.postgres import idempotency
from chassis.testing import received
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

from application.handle_events import handle_events
from domain.reservation import Status
from infrastructure.tables import SCHEMA, metadata
from infrastructure.unit_of_work import OLD_CHANGES, OLD_TOMBSTONES
from tests.messages import order_created, undone
from tests.postgres import Postgres
from tests.rows import a_change_row, a_key_row, a_reservation_row, an_item_row

RECORDS = set(Status) - {Status.NEW, Status.VOID}


def decisions() -> Mapping[str, Decision]:
    return {
        "inventory_items": Decision(stay=[an_item_row(ago(LONG))]),
        "reservations": Decision(
            stay=[a_reservation_row(status, ago(LONG)) for status in RECORDS],
            go=[a_reservation_row(Status.VOID, ago(LONG))],
        ),
        "stock_changes": Decision(
            stay=[a_change_row(), a_change_row(ago(7 * DAY - HOUR))],
            go=[a_change_row(ago(7 * DAY + HOUR)), a_change_row(ago(LONG))],
        ),
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
    postgres: Postgres, tables: Tables
) -> None:
    stays = await tables.fill(decisions())
    await prune(postgres.database, OLD_TOMBSTONES, OLD_CHANGES, idempotency.PRUNE)
    assert await tables.left() == stays


@pytest.mark.parametrize("undone_before_it_came", [True, False])
async def test_a_tombstone_stays_until_seven_days_past_its_orders_deadline(
    postgres: Postgres, tables: Tables, undone_before_it_came: bool
) -> None:
    young, old = [order_created((uuid4(), 1), expires_at=ago(time)) for time in (7 * DAY - HOUR, 7 * DAY + HOUR)]
    events = [received(undone(order) if undone_before_it_came else order) for order in (young, old)]
    await postgres.run(handle_events, events)
    assert (await tables.left())["reservations"] == {(str(young.order_id),), (str(old.order_id),)}
    await prune(postgres.database, OLD_TOMBSTONES)
    assert (await tables.left())["reservations"] == {(str(young.order_id),)}


async def test_the_service_prunes_by_itself_at_once_and_again(
    pytestconfig: pytest.Config, tables: Tables, database_url: str, rabbitmq_url: str
) -> None:
    await prunes_by_itself(pytestconfig.rootpath, tables, decisions(), rabbitmq_url, database_url)
