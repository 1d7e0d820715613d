"""Idempotency keys: one owner each, whoever asks at the same time."""

import asyncio

import pytest
from chassis.database import Database
from chassis.idempotency import Claim, checked_key, claim, prune
from chassis.ids import uuid7
from chassis.problems import Problem
from sqlalchemy import text


async def _claim(database: Database, *claims: Claim) -> dict[str, Claim]:
    async with database.engine.begin() as connection:
        owners = await claim(connection, claims)
        await asyncio.sleep(0.01)
        return owners


async def test_the_first_claim_owns_the_key_within_and_across_transactions(database: Database) -> None:
    first, second, other = Claim("k", b"1", uuid7()), Claim("k", b"2", uuid7()), Claim("o", b"3", uuid7())
    assert await _claim(database, first, second, other) == {"k": first, "o": other}
    assert await _claim(database, second) == {"k": first}
    assert await _claim(database) == {}


async def test_concurrent_claims_of_the_same_keys_agree_on_their_owners(database: Database) -> None:
    keys = [f"key-{number}" for number in range(20)]

    async def everything(order: int) -> dict[str, Claim]:
        return await _claim(database, *(Claim(key, b"", uuid7()) for key in keys[order:] + keys[:order]))

    results = await asyncio.gather(*(everything(order) for order in range(8)))
    assert all(result == results[0] for result in results)


async def test_a_key_is_free_again_after_a_day(database: Database) -> None:
    first, second, third = (Claim("k", b"", uuid7()) for _ in range(3))
    await _claim(database, first)
    await _age(database, 23)
    assert await _claim(database, second) == {"k": first}
    await _age(database, 25)
    assert await _claim(database, third) == {"k": third}
    await _age(database, 25)
    async with database.autocommit() as connection:
        await prune(connection)
        assert (await connection.execute(text("SELECT count(*) FROM idempotency_keys"))).scalar_one() == 0


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256, "a\n", "\x7f"])
def test_a_key_outside_visible_ascii_is_refused(key: str) -> None:
    with pytest.raises(Problem) as refused:
        checked_key(key)
    assert refused.value.status == 422


@pytest.mark.parametrize("key", [None, "a", "x" * 255, "!~"])
def test_a_valid_key_is_taken_as_it_is(key: str | None) -> None:
    assert checked_key(key) == key


async def _age(database: Database, hours: int) -> None:
    async with database.autocommit() as connection:
        await connection.execute(
            text("UPDATE idempotency_keys SET created_at = now() - make_interval(hours => :hours)"), {"hours": hours}
        )
