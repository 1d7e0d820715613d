"""One transaction: the order, its events in the outbox, what was read and which key was used."""

from uuid import UUID

import orjson
import pytest
from chassis.ports.ids import uuid7
from chassis.ports.unit_of_work import Claim
from chassis.postgres.database import Database
from chassis.testing import received
from sqlalchemy import text

from application.handle_events import handle_events
from domain.order import Order, Status
from infrastructure.unit_of_work import OrderUnitOfWork
from tests.builders import an_order
from tests.contracts import OURS
from tests.facts import paid, reserved
from tests.integration.conftest import Units


class Broken(Exception):
    pass


async def outbox(database: Database, order_id: UUID) -> list[tuple[UUID, str, str, dict[str, object]]]:
    async with database.autocommit() as connection:
        rows = await connection.execute(
            text("SELECT id, type, routing_key, body FROM outbox WHERE order_id = :order_id ORDER BY created_at, type"),
            {"order_id": str(order_id)},
        )
        return [(row.id, row.type, row.routing_key, orjson.loads(row.body)) for row in rows]


async def status_of(units: Units, order_id: UUID) -> Status | None:
    async with units() as unit:
        order = (await unit.orders.get([order_id])).get(order_id)
    return order.status if order else None


async def place(unit: OrderUnitOfWork) -> Order:
    await unit.start()
    return unit.orders.add(an_order(now=unit.now))


async def placed(units: Units) -> Order:
    async with units() as unit:
        order = await place(unit)
        await unit.commit()
    return order


async def test_an_order_and_its_event_are_committed_together(units: Units, database: Database) -> None:
    async with units() as unit:
        order = await place(unit)
        assert await status_of(units, order.id) is None
        assert await outbox(database, order.id) == []
        await unit.commit()

    assert await status_of(units, order.id) is Status.PENDING
    [(event_id, name, routing_key, body)] = await outbox(database, order.id)
    assert (name, routing_key, body["id"]) == ("OrderCreated", "order.created", str(event_id))
    assert OURS.violations(body, "OrderCreated") == []


@pytest.mark.parametrize("fails", [True, False], ids=["an error", "no commit"])
async def test_leaving_the_unit_without_a_commit_undoes_all(units: Units, database: Database, fails: bool) -> None:
    key, event = str(uuid7()), received(reserved(uuid7()))
    try:
        async with units() as unit:
            order = await place(unit)
            await unit.claim([Claim("a caller", key, b"", order.id)])
            await unit.take_in("order-service", [event])
            if fails:
                raise Broken
    except Broken:
        pass

    assert await status_of(units, order.id) is None
    assert await outbox(database, order.id) == []
    async with units() as unit:
        later = Claim("a caller", key, b"", uuid7())
        assert await unit.claim([later]) == {later.resource_id: later}
        assert await unit.take_in("order-service", [event]) == [event]


async def test_a_fact_its_effect_and_its_events_are_committed_together(units: Units, database: Database) -> None:
    order = await placed(units)
    event = received(paid(order.id))
    for commits in (False, True):
        async with units() as unit:
            fresh = await unit.take_in("order-service", [event, event])
            assert fresh == [event]
            await handle_events(fresh, unit)
            if commits:
                await unit.commit()
        assert await status_of(units, order.id) is (Status.COMPLETED if commits else Status.PENDING)

    assert [name for _, name, _, _ in await outbox(database, order.id)] == [
        "OrderCreated",
        "OrderCompleted",
        "OrderConfirmed",
    ]
    async with units() as unit:
        assert await unit.take_in("order-service", [event]) == []
