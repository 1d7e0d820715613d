"""The checks of chassis.testing.stored fail on what they are there to find."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from chassis.ports.ids import uuid7
from chassis.postgres.database import Database
from chassis.testing.stored import assert_every_column_is_written, assert_kept_whole
from sqlalchemy import Column, Integer, MetaData, Table, Text, Uuid, select

metadata = MetaData()
shelves = Table(
    "shelves",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("room", Text),
    Column("books", Integer, server_default="0"),
)


@dataclass
class Label:
    room: str


@dataclass
class Shelf:
    id: UUID
    label: Label
    books: int
    events: list[object] = field(default_factory=list)


FIRST, SECOND = Shelf(uuid7(), Label("hall"), 1), Shelf(uuid7(), Label("attic"), 2)
CHANGED = replace(FIRST, books=3, label=Label("cellar"))


@pytest.fixture
async def library(database: Database) -> AsyncIterator[Database]:
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield database
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)


def keeping(
    library: Database, added: set[str], saved: set[str], found: set[str]
) -> dict[str, Callable[[Any], Awaitable[Any]]]:
    """A repository whose statements and mapping know these columns and no others."""

    def values(shelf: Shelf, known: set[str]) -> dict[str, object]:
        row = {"id": shelf.id, "room": shelf.label.room, "books": shelf.books}
        return {name: value for name, value in row.items() if name in known}

    async def add(shelf: Shelf) -> None:
        async with library.autocommit() as connection:
            await connection.execute(shelves.insert().values(values(shelf, added)))

    async def save(shelf: Shelf) -> None:
        async with library.autocommit() as connection:
            await connection.execute(shelves.update().where(shelves.c.id == shelf.id).values(values(shelf, saved)))

    async def load(shelf: Shelf) -> Shelf:
        async with library.autocommit() as connection:
            row = (await connection.execute(select(shelves).where(shelves.c.id == shelf.id))).one()
        return Shelf(row.id, Label(row.room), row.books if "books" in found else 0)

    return {"add": add, "save": save, "load": load}


ALL = {"id", "room", "books"}
CASES: dict[str, tuple[set[str], set[str], set[str], Shelf, Shelf, set[str], str | None]] = {
    "nothing is missing": (ALL, ALL, ALL, SECOND, CHANGED, {"id"}, None),
    "not added": (ALL - {"books"}, ALL, ALL, SECOND, CHANGED, {"id"}, "not written by `add`"),
    "not saved": (ALL, ALL - {"room"}, ALL, SECOND, CHANGED, {"id"}, "not written by `save`"),
    "not found": (ALL, ALL, ALL - {"books"}, SECOND, CHANGED, {"id"}, "as they were added"),
    "no second value": (ALL, ALL, ALL, replace(SECOND, books=1), CHANGED, {"id"}, "without a second value"),
    "no second value within": (ALL, ALL, ALL, replace(SECOND, label=Label("hall")), CHANGED, {"id"}, "second value"),
    "not said never to change": (ALL, ALL, ALL, SECOND, replace(CHANGED, books=1), {"id"}, "not both"),
    "said never to change, and changed": (ALL, ALL, ALL, SECOND, CHANGED, {"id", "books"}, "not both"),
}


@pytest.mark.parametrize(
    ("added", "saved", "found", "second", "changed", "never_changed", "complaint"), CASES.values(), ids=CASES
)
async def test_whatever_is_not_kept_is_found(
    library: Database,
    added: set[str],
    saved: set[str],
    found: set[str],
    second: Shelf,
    changed: Shelf,
    never_changed: set[str],
    complaint: str | None,
) -> None:
    repository = keeping(library, added, saved, found)
    check = assert_kept_whole(library, shelves, FIRST, second, changed, **repository, never_changed=never_changed)
    if complaint is None:
        await check
        return
    with pytest.raises(AssertionError, match=complaint):
        await check


async def test_a_column_or_a_table_that_nothing_writes_is_found(library: Database) -> None:
    with pytest.raises(AssertionError, match="too few rows into shelves"):
        await assert_every_column_is_written(library, metadata, besides=[])
    repository = keeping(library, ALL - {"books"}, ALL, ALL)
    for shelf in (FIRST, SECOND):
        await repository["add"](shelf)
    with pytest.raises(AssertionError, match="columns of shelves"):
        await assert_every_column_is_written(library, metadata, besides=[])
    await assert_every_column_is_written(library, metadata, besides=[shelves])
    await repository["save"](FIRST)
    await assert_every_column_is_written(library, metadata, besides=[])
