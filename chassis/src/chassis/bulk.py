"""Rows for statements that write a whole batch at once, however large, with one cached plan.

A statement reads them with `FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, ...)`.
"""

from collections.abc import Iterable

import orjson
from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection


def json_rows(rows: Iterable[object]) -> str:
    """The rows, mappings or dataclasses, as one JSON parameter.

    Decimal travels as a string, so that no digit is lost on the way to numeric.
    """
    return orjson.dumps(list(rows), default=str).decode()


async def delete_in_batches(connection: AsyncConnection, statement: TextClause, **parameters: object) -> None:
    """Runs a DELETE that has a limit of its own, each time in a transaction of its own, until nothing is left."""
    while (await connection.execute(statement, parameters)).rowcount:
        pass
