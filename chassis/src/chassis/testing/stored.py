"""Whether all that an aggregate knows gets into its table and back, and no column of any table stays unwritten.

Two values that differ tell whether a column is written; one value may be its default. So a test brings aggregates that
differ in every field, and a field that is added fails it until it is given values, or is said never to change.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from chassis.ports.events import OrderEvent
from chassis.postgres.database import Database
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.testing import received
from sqlalchemy import MetaData, Table, select

A = TypeVar("A")
W = TypeVar("W", bound=UnitOfWork)
Row = dict[str, Any]
NOT_KEPT = frozenset({"events", "repeats"})
"""The fields of every aggregate that hold what is told, not what is kept."""
_TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def assert_kept_whole(
    database: Database,
    table: Table,
    first: A,
    second: A,
    changed: A,
    *,
    add: Callable[[A], Awaitable[None]],
    save: Callable[[A], Awaitable[None]],
    load: Callable[[A], Awaitable[A]],
    never_changed: Collection[str],
) -> None:
    """`second` differs from `first` in every field. So does `changed`, the first as it is later, but for those that
    are never changed, which bear the same name as their columns. Each call of `add`, `save` and `load` is a transaction
    of its own; `load` is given what the aggregate should be, and finds what it is."""
    never = set(never_changed)
    assert set(_alike(first, second)) == set(), "fields without a second value in this test"
    assert set(_alike(first, changed)) == never, "fields that are changed in this test, or said never to be, not both"

    for aggregate in (first, second):
        await add(aggregate)
    added = await _row(database, table, first)
    assert _constant([added, await _row(database, table, second)]) == set(), "columns that are not written by `add`"
    for aggregate in (first, second):
        assert _unlike(await load(aggregate), aggregate) == {}, "fields that do not come back as they were added"

    await save(changed)
    unwritten = _constant([added, await _row(database, table, changed)]) - never
    assert unwritten == set(), "columns that are not written by `save`, and not said never to be changed"
    assert _unlike(await load(changed), changed) == {}, "fields that do not come back as they were saved"
    assert _unlike(await load(second), second) == {}, "fields of another row that were saved over"


async def assert_every_column_is_written(database: Database, metadata: MetaData, *, besides: Sequence[Table]) -> None:
    """By whatever the test has put into the tables before: two rows or more in each, different in every column. All
    tables are looked at `besides` those of which `assert_kept_whole` says it more exactly."""
    for table in set(metadata.sorted_tables) - set(besides):
        async with database.autocommit() as connection:
            rows = [dict(row) for row in (await connection.execute(select(table))).mappings()]
        assert len(rows) >= 2, f"the test has put too few rows into {table.name}"
        assert _constant(rows) == set(), f"columns of {table.name} that no statement writes"


async def fill_inbox_and_outbox(
    units: Callable[[], AbstractAsyncContextManager[W]],
    events: Sequence[OrderEvent],
    also: Callable[[W, int], Awaitable[object]] | None = None,
) -> None:
    """A transaction for each of the events, which should be of different kinds: it takes the event in and tells it."""
    for number, event in enumerate(events):
        async with units() as unit:
            await unit.take_in(f"consumer {number}", [received(event)])
            unit.publish(event, _TRACEPARENT)
            if also is not None:
                await also(unit, number)
            await unit.commit()


def _alike(one: Any, other: Any, within: str = "") -> Iterator[str]:
    """The names of the fields that have the same value in both, of the dataclasses within them as well."""
    for field in fields(one):
        if field.name in NOT_KEPT:
            continue
        name, this, that = f"{within}{field.name}", getattr(one, field.name), getattr(other, field.name)
        if this == that:
            yield name
        elif isinstance(this, list | tuple):
            for element, counterpart in zip(this, that, strict=False):
                yield from _alike(element, counterpart, f"{name}.") if is_dataclass(element) else ()
        elif is_dataclass(this) and is_dataclass(that):
            yield from _alike(this, that, f"{name}.")


def _unlike(found: Any, wanted: Any) -> dict[str, tuple[Any, Any]]:
    names = [field.name for field in fields(wanted) if field.name not in NOT_KEPT]
    return {
        name: (getattr(found, name), getattr(wanted, name))
        for name in names
        if getattr(found, name) != getattr(wanted, name)
    }


async def _row(database: Database, table: Table, aggregate: Any) -> Row:
    [key] = table.primary_key
    async with database.autocommit() as connection:
        found = await connection.execute(select(table).where(key == getattr(aggregate, key.name)))
        return dict(found.mappings().one())


def _constant(rows: Sequence[Row]) -> set[str]:
    return {name for name, value in rows[0].items() if all(row[name] == value for row in rows)}
