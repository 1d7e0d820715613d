"""Statements that read or write a whole batch at once, however large, with one cached plan.

One that writes reads its rows with `FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, ...)`. One that changes
rows names their keys besides, `= ANY(CAST(:ids AS uuid[]))`: the planner takes any JSON for a hundred rows, and would
rather read all of a table than look up so many. One that reads is built once, as a constant: SQLAlchemy takes longer to
build a query, and to find what it compiled for it before, than the server to answer it.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import orjson
from chassis.database import Conflict
from sqlalchemy import ARRAY, Column, ColumnElement, TextClause, Uuid, bindparam, func, text
from sqlalchemy.ext.asyncio import AsyncConnection


def json_rows(rows: Iterable[object]) -> str:
    """The rows, mappings or dataclasses, as one JSON parameter.

    Decimal travels as a string, so that no digit is lost on the way to numeric.
    """
    return orjson.dumps(list(rows), default=str).decode()


async def insert_absent(connection: AsyncConnection, statement: TextClause, rows: Sequence[object]) -> None:
    """Inserts rows that the transaction, when it looked, found to be absent, by an `INSERT ... ON CONFLICT DO NOTHING`.

    An absent row can't be locked. Of two transactions that insert the same one, the second waits for the first, and
    raises Conflict if that was committed: run again, it finds the row.
    """
    if rows and (await connection.execute(statement, {"rows": json_rows(rows)})).rowcount < len(rows):
        raise Conflict("another transaction has inserted one of these rows first")


def among_ids(column: Column[UUID]) -> ColumnElement[bool]:
    """Whether the column is one of the ids that the query is run with: `{"ids": [...]}`."""
    return column == func.any(bindparam("ids", type_=ARRAY(Uuid)))


def deletion(table: str, condition: str) -> TextClause:
    """A DELETE of the rows that meet the condition, 10,000 of them at most.

    The condition is stated twice: until 17.7, 16.11 and 15.15 PostgreSQL did not look again whether a row that another
    transaction has just renewed is still the one that was picked ("Add missing EPQ recheck for TID Scan").
    """
    some = f"SELECT ctid FROM {table} WHERE {condition} LIMIT 10000"
    return text(f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({some})) AND ({condition})")


async def delete_in_batches(connection: AsyncConnection, statement: TextClause, **parameters: object) -> None:
    """Runs a `deletion`, each time in a transaction of its own, until nothing is left."""
    while (await connection.execute(statement, parameters)).rowcount:
        pass
