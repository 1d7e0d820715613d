"""Idempotency keys: one owner each, whoever asks at the same time; on PostgreSQL and on its stand-in."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from chassis.http.problems import Problem
from chassis.http.requests import checked_key
from chassis.ports.ids import uuid7
from chassis.ports.unit_of_work import Claim
from chassis.postgres.idempotency import PRUNE, claim, release
from chassis.postgres.repository import delete_in_batches
from chassis.testing.memory import MemoryDatabase
from sqlalchemy import text
from tests.parcels import Store


async def _claim(store: Store, *claims: Claim) -> dict[UUID, Claim]:
    async with store.unit() as unit:
        owners = await claim(unit.connection, claims)
        await asyncio.sleep(0)
        await unit.commit()
        return owners


def _a_claim(key: str = "k", fingerprint: bytes = b"", caller: str = "somebody") -> Claim:
    return Claim(caller, key, fingerprint, uuid7())


async def test_the_first_claim_owns_the_key_within_and_across_transactions(store: Store) -> None:
    first, second, other = _a_claim("k", b"1"), _a_claim("k", b"2"), _a_claim("o", b"3")
    assert await _claim(store, first, second, other) == {
        first.resource_id: first,
        second.resource_id: first,
        other.resource_id: other,
    }
    assert await _claim(store, second) == {second.resource_id: first}
    assert await _claim(store) == {}


async def test_a_key_that_is_given_up_goes_to_whoever_waits_for_it(store: Store) -> None:
    first, kept, second = _a_claim("k", b"1"), _a_claim("o", b"2"), _a_claim("k", b"3")
    async with store.unit() as unit:
        await claim(unit.connection, [first, kept])
        waiting = asyncio.create_task(_claim(store, second))
        await store.waits(waiting)
        await release(unit.connection, [first])
        await release(unit.connection, [])
        await unit.commit()
    assert await waiting == {second.resource_id: second}
    again = [_a_claim("k"), _a_claim("o")]
    owners = await _claim(store, *again)
    assert [owners[one.resource_id] for one in again] == [second, kept]


async def test_another_caller_s_same_key_is_another_key(store: Store) -> None:
    ours, theirs, third = (_a_claim(caller=caller) for caller in ("ours", "theirs", "https://issuer subject"))
    assert await _claim(store, ours, theirs) == {claim.resource_id: claim for claim in (ours, theirs)}
    again, stranger = _a_claim(caller="theirs"), _a_claim(key="ours", caller="k")
    assert await _claim(store, again, third, stranger) == {
        again.resource_id: theirs,
        third.resource_id: third,
        stranger.resource_id: stranger,
    }


async def test_concurrent_claims_of_the_same_keys_agree_on_their_owners(store: Store) -> None:
    names = [(f"key-{number}", f"caller-{caller}") for number in range(10) for caller in range(2)]

    async def everything(order: int) -> set[Claim]:
        claims = [_a_claim(key, caller=caller) for key, caller in names]
        owners = await _claim(store, *random.Random(order).sample(claims, len(claims)))
        assert [owners[claim.resource_id].key for claim in claims] == [claim.key for claim in claims]
        return set(owners.values())

    results = await asyncio.gather(*(everything(order) for order in range(8)))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("part", ["caller", "key"])
async def test_claims_of_the_same_keys_in_any_order_never_wait_in_a_circle(store: Store, part: str) -> None:
    """Whoever comes upwards and whoever comes downwards would meet in the middle, which a third one holds at first."""
    keys = [replace(_a_claim(), **{part: name}) for name in ("low", "middle", "top")]  # type: ignore[arg-type]
    async with store.unit() as third:
        await claim(third.connection, keys[1:2])
        ways = [[_a_claim(one.key, caller=one.caller) for one in way] for way in (keys, keys[::-1])]
        both = [asyncio.create_task(_claim(store, *way)) for way in ways]
        await store.waits(*both)
        await third.commit()
    upwards, downwards = await asyncio.gather(*both)
    assert set(upwards.values()) == set(downwards.values())


async def test_a_key_is_free_again_after_a_day(store: Store) -> None:
    first, second, third, fourth = (_a_claim(fingerprint=bytes([number])) for number in range(4))
    await _claim(store, first)
    await _age(store, 23)
    assert await _claim(store, second) == {second.resource_id: first}
    await _age(store, 25)
    assert await _claim(store, third) == {third.resource_id: third}
    assert await _claim(store, fourth) == {fourth.resource_id: third}
    await _age(store, 25)
    async with store.database.autocommit() as connection:
        await delete_in_batches(connection, PRUNE)
    assert await _claim(store, first) == {first.resource_id: first}


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256, "a\n", "\x7f"])
def test_a_key_outside_visible_ascii_is_refused(key: str) -> None:
    with pytest.raises(Problem) as refused:
        checked_key(key)
    assert refused.value.status == 422


@pytest.mark.parametrize("key", [None, "a", "x" * 255, "!~"])
def test_a_valid_key_is_taken_as_it_is(key: str | None) -> None:
    assert checked_key(key) == key


async def _age(store: Store, hours: int) -> None:
    if isinstance(store.database, MemoryDatabase):
        made_at = store.database.server.now() - timedelta(hours=hours)
        keys = store.database.server.keys
        keys.update({key: row._replace(created_at=made_at) for key, row in keys.items()})
        return
    async with store.database.autocommit() as connection:
        await connection.execute(
            text("UPDATE idempotency_keys SET created_at = now() - make_interval(hours => :hours)"), {"hours": hours}
        )
