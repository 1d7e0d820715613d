"""The check of chassis.testing.stored fails on what it is there to find."""

from dataclasses import replace

import pytest
from chassis.ports.ids import uuid7
from chassis.testing.stored import assert_comes_back
from tests.parcels import Parcel, ParcelsUnitOfWork, Store
from tests.test_repository import FIRST


def units(store: Store) -> ParcelsUnitOfWork:
    return ParcelsUnitOfWork(store.database, store.publisher)


async def comes_back(store: Store, parcel: Parcel) -> None:
    await assert_comes_back(lambda: units(store), lambda unit: unit.parcels, parcel)


async def test_an_aggregate_that_comes_back_as_it_was_has_no_problem(store: Store) -> None:
    await comes_back(store, replace(FIRST, id=uuid7(), order_id=uuid7()))


async def test_a_field_that_comes_back_as_another_value_is_found(store: Store) -> None:
    """A list, which the unit of work could not compare with what it was, is a tuple when it comes back."""
    lines = list(FIRST.lines)
    with pytest.raises(AssertionError, match="lines"):
        await comes_back(store, replace(FIRST, id=uuid7(), order_id=uuid7(), lines=lines))  # type: ignore[arg-type]


async def test_a_field_without_a_value_in_the_test_is_found(store: Store) -> None:
    with pytest.raises(AssertionError, match=r"no value for \['reason'\]"):
        await comes_back(store, replace(FIRST, id=uuid7(), order_id=uuid7(), reason=None))
