"""Whether PostgreSQL gives an aggregate back as it was.

That every column is written and read is the chassis's to guarantee, and its tests hold it for a column of each type
(chassis/tests/test_repository.py). What is a service's own is that its fields fit their columns; one aggregate with a
value in each field shows that.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from typing import Any, TypeVar

from chassis.postgres.repository import PostgresRepository
from chassis.postgres.unit_of_work import UnitOfWork

U = TypeVar("U", bound=UnitOfWork)
NOT_KEPT = frozenset({"events", "repeats"})
"""The fields of every aggregate that hold what is told, not what is kept."""


async def assert_comes_back(
    units: Callable[[], AbstractAsyncContextManager[U]],
    repository: Callable[[U], PostgresRepository[Any]],
    aggregate: Any,
) -> None:
    """Adds the aggregate and loads it again, in units of work of their own. Fails if a field comes back as another
    value, or has none here: a field that is added later needs one too."""
    names = [field.name for field in fields(aggregate) if field.name not in NOT_KEPT]
    assert not (without := [name for name in names if getattr(aggregate, name) is None]), f"no value for {without}"
    async with units() as unit:
        repository(unit).add(aggregate)
        await unit.commit()
    async with units() as unit:
        [found] = (await repository(unit).get([getattr(aggregate, repository(unit).mapped.key)])).values()
    assert {name: getattr(found, name) for name in names} == {name: getattr(aggregate, name) for name in names}
