"""What every repository writes and reads, once for all services: on PostgreSQL, and on the stand-in that must do the
same."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from chassis.ports.ids import uuid7
from chassis.postgres.repository import Mapped
from sqlalchemy import text
from tests.note_service import TRACE
from tests.parcels import (
    OF_COURIER,
    OF_STATUS,
    PARCELS,
    WAITING_FOR,
    WAITING_OF_COURIERS,
    WITH_REASON,
    Line,
    Parcel,
    PostgresParcels,
    Status,
    Stop,
    Store,
    a_parcel,
    keys,
    parcels,
)

FAR = datetime(2100, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)

FIRST = Parcel(
    id=uuid7(),
    order_id=uuid7(),
    courier_id=uuid7(),
    status=Status.WAITING,
    status_before=Status.LOST,
    reason='ü "quoted" \\ {null}\n%s :name $1',
    worth=Decimal("9999999999.99"),
    charge=Decimal("0.01"),
    attempts=2**31 - 1,
    grams=2**63 - 1,
    fragile=True,
    lines=(Line(uuid7(), 2, Decimal("19.99")), Line(uuid7(), 10_000, Decimal("999999.90"))),
    stops=(Stop(FAR, Status.WAITING), Stop(FAR + timedelta(microseconds=1), Status.LOST, "nobody at home")),
    expires_at=FAR,
    remind_at=FAR + timedelta(days=1),
    traceparent=TRACE,
)
SECOND = Parcel(
    id=uuid7(),
    order_id=uuid7(),
    courier_id=None,
    status=Status.DELIVERED,
    status_before=None,
    reason=None,
    worth=Decimal("-0.10"),
    charge=None,
    attempts=-1,
    grams=-(2**63),
    fragile=False,
    lines=(),
    stops=None,
    expires_at=datetime(1970, 1, 1, tzinfo=UTC),
    remind_at=None,
    traceparent="",
)
CHANGED = replace(SECOND, id=FIRST.id, order_id=FIRST.order_id)
"""FIRST as it is later: every column is another one, but for its keys."""


async def test_every_column_is_written_and_read_back_as_it_was(store: Store) -> None:
    await store.add(FIRST, SECOND)
    found = await store.kept(FIRST.order_id, SECOND.order_id)
    assert found == [FIRST, SECOND]
    assert found[0].status is Status.WAITING, "a StrEnum, which its text would equal as well"
    assert found[0].status_before is Status.LOST
    assert found[0].stops is not None
    assert found[0].stops[1].status is Status.LOST
    assert found[0].fragile is True
    assert found[0].events == found[0].repeats == []

    async with store.unit() as unit:
        loaded = (await unit.parcels.locked([FIRST.order_id]))[FIRST.order_id]
        vars(loaded).update({name: value for name, value in vars(CHANGED).items() if name != "events"})
        await unit.commit()
    assert await store.kept(FIRST.order_id, SECOND.order_id) == [CHANGED, SECOND]


async def test_what_an_aggregate_derives_is_a_column_too(store: Store) -> None:
    async def waiting() -> list[Parcel]:
        async with store.reading() as repository:
            return await repository.read(WAITING_FOR, due_at=FAR)

    await store.add(FIRST, replace(SECOND, expires_at=FAR))
    assert keys(await waiting()) == [FIRST.order_id]
    await store.change(FIRST.order_id, status=Status.LOST)
    assert await waiting() == []


async def test_a_time_is_the_same_instant_in_whatever_zone_it_was_given(store: Store) -> None:
    elsewhere = FAR.astimezone(timezone(timedelta(hours=5, minutes=30)))
    parcel = a_parcel(expires_at=elsewhere, stops=(Stop(elsewhere, Status.WAITING),))
    await store.add(parcel)
    assert await store.kept(parcel.order_id) == [parcel]


async def test_only_rows_that_changed_are_written_and_of_these_the_columns_that_differ_in_any(store: Store) -> None:
    first, second, third = (a_parcel() for _ in range(3))
    await store.add(first, second, third)
    async with store.unit() as unit:
        found = await unit.parcels.locked([first.order_id, second.order_id, third.order_id])
        found[third.order_id].reason = "late"
        found[first.order_id].attempts = 1
        found[second.order_id].attempts = 7
        found[second.order_id].attempts = second.attempts  # as it was
        found[second.order_id].tell("nothing that a row would hold")
        await unit.commit()
    [(does, parameters)] = unit.written()
    assert does == "update"
    assert orjson.loads(parameters["rows"]) == [
        {"order_id": str(first.order_id), "reason": None, "attempts": 1},
        {"order_id": str(third.order_id), "reason": "late", "attempts": 0},
    ]
    assert parameters["keys"] == [first.order_id, third.order_id]
    assert await store.kept(first.order_id, second.order_id, third.order_id) == [
        replace(first, attempts=1),
        second,
        replace(third, reason="late"),
    ]


async def test_a_column_that_does_not_differ_is_left_as_something_else_in_the_transaction_wrote_it(
    store: Store,
) -> None:
    parcel = a_parcel()
    await store.add(parcel)
    async with store.unit() as unit:
        ours = (await unit.parcels.locked([parcel.order_id]))[parcel.order_id]
        theirs = (await unit.others.locked([parcel.order_id]))[parcel.order_id]
        ours.attempts, ours.status = 1, Status.LOST
        theirs.reason = "late"
        await unit.commit()
    assert await store.kept(parcel.order_id) == [replace(parcel, attempts=1, status=Status.LOST, reason="late")]


async def test_nothing_is_written_for_what_was_only_looked_at(store: Store) -> None:
    parcel = a_parcel()
    await store.add(parcel)
    async with store.unit() as unit:
        await unit.parcels.locked([parcel.order_id, uuid7()])
        (read,) = (await unit.parcels.get([parcel.order_id])).values()
        read.attempts = 1
        read.tell("nobody")
        await unit.commit()
    assert [does for does, _ in unit.watched.executed[1:]] == ["lock", "get"]
    assert await store.kept(parcel.order_id) == [parcel]
    assert store.publisher.published == []


async def test_a_page_is_the_newest_below_a_row_of_those_that_meet_the_conditions(store: Store) -> None:
    ours, others = uuid7(), uuid7()
    of_ours = [a_parcel(courier_id=ours) for _ in range(4)] + [a_parcel(courier_id=ours, id=UUID(int=2**128 - 2))]
    await store.add(*of_ours, *(a_parcel(courier_id=courier) for courier in (others, None)))
    newest = of_ours[::-1]
    async with store.reading() as repository:

        async def page(before: UUID | None, limit: int) -> list[Parcel]:
            return await repository.newest(OF_COURIER, before=before, limit=limit, courier_id=ours)

        assert await page(None, 10) == newest
        assert await page(None, 2) == newest[:2]
        assert await page(newest[1].id, 2) == newest[2:4]
        assert await page(newest[4].id, 2) == []
        assert await page(None, 0) == []


async def test_what_is_found_meets_all_conditions_and_nothing_meets_one_by_having_no_value(store: Store) -> None:
    waiting, lost = a_parcel(reason="3"), a_parcel(status=Status.LOST, reason="3")
    await store.add(waiting, lost, a_parcel(status=Status.DELIVERED), a_parcel(reason="1"))
    async with store.reading() as repository:
        assert await repository.read(OF_STATUS, status=Status.LOST) == [lost]
        assert await repository.read(WITH_REASON) == [waiting]
        assert await repository.get([waiting.order_id, uuid7(), waiting.order_id]) == {waiting.order_id: waiting}
        assert await repository.get([]) == {}


async def test_rows_are_counted_by_those_values_that_have_any(store: Store) -> None:
    ours, theirs, idle, unasked = (uuid7() for _ in range(4))
    couriers = [ours, ours, ours, theirs, unasked, None]
    parcels = [a_parcel(courier_id=courier) for courier in couriers]
    await store.add(*parcels, *(a_parcel(courier_id=courier, status=Status.LOST) for courier in (ours, idle)))
    async with store.reading() as repository:
        assert await repository.counts(WAITING_OF_COURIERS, {ours, theirs, idle, uuid7()}) == {ours: 3, theirs: 1}
        assert await repository.counts(WAITING_OF_COURIERS, []) == {}
    await store.change(parcels[0].order_id, status=Status.DELIVERED)
    async with store.reading() as repository:
        assert await repository.counts(WAITING_OF_COURIERS, [ours]) == {ours: 2}


async def test_pruning_deletes_what_is_past_its_time_and_meets_the_conditions(store: Store) -> None:
    past, soon = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)
    goes = [a_parcel(status=Status.LOST, remind_at=past) for _ in range(3)]
    stays = [
        a_parcel(status=Status.LOST, remind_at=soon),
        a_parcel(status=Status.LOST),
        a_parcel(status=Status.DELIVERED, remind_at=past),
    ]
    await store.add(*goes, *stays)
    await store.prune()
    assert await store.kept(*keys(goes), *keys(stays)) == stays


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
async def test_what_a_field_without_a_value_leaves_is_null_in_every_kind_of_column(store: Store) -> None:
    """JSON's own null would be a value. The stand-in has no SQL to ask."""
    await store.add(SECOND)
    nullable = [column.name for column in parcels.columns if column.nullable]
    assert "stops" in nullable
    async with store.database.autocommit() as connection:
        nulls = f"SELECT num_nulls({', '.join(nullable)}) FROM parcels"
        assert (await connection.execute(text(nulls))).scalar_one() == len(nullable)


@dataclass
class Lettered:
    order_id: UUID
    letters: int


def test_a_field_without_a_column_is_refused() -> None:
    with pytest.raises(TypeError, match="parcels has no column for letters of Lettered"):
        Mapped(parcels, Lettered, key="order_id")


def test_each_statement_is_built_once() -> None:
    assert PARCELS.update(("reason",)) is PARCELS.update(("reason",))
    assert PARCELS.update(("reason",)) is not PARCELS.update(("reason", "attempts"))
    assert PostgresParcels.mapped is PARCELS
