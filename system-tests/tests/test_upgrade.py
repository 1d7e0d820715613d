"""An upgrade: today's code carries on what an earlier version left, with orders in flight, in the database and in the
broker. `upgrade` says what is recorded of that version, and how."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from chassis.testing import eventually, make_database, migrate

from bus import Bus, bus
from installed import installed
from operations.addresses import ROLES, SCHEMAS
from operations.books.rows import FINAL
from operations.load import settled_books
from shop import Shop
from system import ROOT, System, fresh_system, migrate_all
from upgrade.recording import RECORDINGS, Recording, Waiting
from upgrade.replay import COLUMNS, load, load_database
from way import development_only

TAP = "order_events.tap"
# A statement that every version runs, under locks and plans that it keeps.
OLD_CODE = "WITH kept AS (UPDATE inbox SET processed_at = processed_at RETURNING 1) SELECT count(*) FROM kept"
OWNERS = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace"

pytestmark = [
    development_only("the earlier versions ran there, and production begins with empty queues"),
    pytest.mark.skipif(
        shutil.which("pg_restore") is None, reason="PostgreSQL's own programs are needed: install `postgresql-client`"
    ),
    pytest.mark.parametrize("version", sorted(folder.name for folder in RECORDINGS.iterdir())),
]


class Upgraded:
    """The shop of the earlier version, with the services of today."""

    def __init__(self, recording: Recording, system: System, client: httpx.AsyncClient, channel: Bus) -> None:
        self.recording = recording
        self.system = system
        self.channel = channel
        self.shop = Shop(system, client)
        self._client = client

    async def orders(self) -> dict[str, dict[str, Any]]:
        """By their names."""
        return {name: await self.shop.order(order["id"]) for name, order in self.recording.orders.items()}

    async def are_all_final(self) -> bool:
        return all(order["status"] in FINAL for order in (await self.orders()).values())

    async def ask(self, key: dict[str, Any], **changes: Any) -> httpx.Response:
        url = f"{self.system.urls['order-service']}/orders"
        return await self._client.post(url, json=key["body"] | changes, headers=key["headers"])

    async def get(self, asked: dict[str, Any]) -> Any:
        answer = await self._client.get(f"{self.system.urls[asked['service']]}{asked['path']}")
        return answer.raise_for_status().json()

    async def waiting(self) -> Counter[str]:
        """How many messages are left in each queue of the earlier version."""
        queues = [queue["name"] for queue in self.recording.topology["queues"] if queue["name"] != TAP]
        return +Counter({queue: (await self.channel.state(queue))[0] for queue in queues})

    async def dead_letters(self) -> Counter[str]:
        return Counter({queue: number for queue, number in (await self.waiting()).items() if queue.endswith(".dlq")})

    async def redrive(self) -> str:
        """What `make dead-letters` prints."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "operations", "dead-letters", "redrive", "--all"],
            env=os.environ | {"RABBITMQ_URL": self.system.rabbitmq_url},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def done_by_the_gateway(self) -> dict[str, dict[str, set[str]]]:
        """By order and kind, under which keys the gateway has moved money, for the earlier version or for today's."""
        lines = [line for line in self.system.services["payment-service"].lines() if line.get("answer") == "done"]
        keys: dict[str, dict[str, set[str]]] = defaultdict(lambda: {"charge": set(), "refund": set()})
        for line in [*self.recording.charges, *lines]:
            keys[line["order"]][line["kind"]].add(line["key"])
        return keys


@asynccontextmanager
async def upgraded(version: str, folder: Path, client: httpx.AsyncClient) -> AsyncIterator[Upgraded]:
    async with (
        fresh_system(folder, started=False, with_definitions=False, PAYMENT_SUCCESS_RATE="1") as system,
        bus(system.rabbitmq_url) as channel,
    ):
        recording = Recording.read(RECORDINGS / version)
        await load(system, recording)
        await migrate_all(system.database_url)
        system.start()
        await system.healthy()
        yield Upgraded(recording, system, client, channel)


async def test_orders_in_flight_are_carried_on_by_the_next_version(
    servers: None, version: str, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    async with upgraded(version, tmp_path, client) as shop:
        recording = shop.recording
        letters = [waiting for waiting in recording.messages if waiting.queue.endswith(".dlq")]
        set_aside = Counter(letter.queue for letter in letters)
        hopeless = Counter(letter.queue for letter in letters if is_hopeless(letter))
        for key in recording.keys:
            await expect_that_the_key_is_replayed(shop, key)
        assert await shop.dead_letters() == set_aside, "an event of the earlier version was set aside"

        assert f"{set_aside.total()} sent back" in await shop.redrive()
        await eventually(shop.are_all_final, seconds=90)

        assert not await settled_books(shop.system.database_url, initial(recording), within_seconds=60)
        await expect_that_nothing_waits_but(hopeless, shop)
        await expect_the_ends_that_are_determined(shop)
        await expect_that_no_money_moved_twice(shop)
        for asked in recording.answers:
            assert holds(asked["answer"], await shop.get(asked)), asked["path"]


def is_hopeless(letter: Waiting) -> bool:
    """Whether the service that set it aside could never take it in, as opposed to an error that may be over."""
    reason: str = letter.properties["headers"].get("x-reason", "handler-error")
    return reason != "handler-error"


def initial(recording: Recording) -> dict[UUID, int]:
    return {UUID(product): quantity for product, quantity in recording.stock.items()}


async def expect_that_nothing_waits_but(hopeless: Counter[str], shop: Upgraded) -> None:
    async def are_alone() -> bool:
        return await shop.waiting() == hopeless

    try:
        await eventually(are_alone)
    except TimeoutError:
        assert await shop.waiting() == hopeless


async def expect_that_the_key_is_replayed(shop: Upgraded, key: dict[str, Any]) -> None:
    again = await shop.ask(key)
    assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (201, "true"), key
    assert again.json()["id"] in [order["id"] for order in shop.recording.orders.values()]
    assert key["answer"] is None or holds(key["answer"], again.json())
    other = await shop.ask(key, items=[key["body"]["items"][0] | {"quantity": 3}])
    assert other.status_code == 422, "the key was taken for another order"


def holds(recorded: Any, now: Any) -> bool:
    """Whether an answer still says what it said; later versions may say more."""
    if isinstance(recorded, dict):
        return all(name in now and holds(value, now[name]) for name, value in recorded.items())
    if isinstance(recorded, list):
        return len(recorded) == len(now) and all(map(holds, recorded, now))
    return bool(recorded == now)


async def expect_the_ends_that_are_determined(shop: Upgraded) -> None:
    expected, found = {}, {}
    for name, order in (await shop.orders()).items():
        end = shop.recording.orders[name]
        payment = await shop.shop.payment(order["id"]) if end["payment"] else None
        expected[name] = (end["status"], end["reason"], end["payment"])
        found[name] = (order["status"], order.get("reason"), payment and payment["status"])
    assert found == expected


async def expect_that_no_money_moved_twice(shop: Upgraded) -> None:
    moved = shop.done_by_the_gateway()
    for name, order in shop.recording.orders.items():
        charges, refunds = moved[order["id"]]["charge"], moved[order["id"]]["refund"]
        assert len(charges) <= 1, f"{name} was charged under two keys"
        assert (len(charges), len(refunds)) in {
            "completed": [(1, 0)],
            "refunded": [(1, 1)],
            "failed": [(0, 0)],
            "cancelled": [(0, 0)],
        }.get(order["payment"], [(0, 0), (1, 1)]), f"{name}: charged by {charges}, refunded by {refunds}"


async def test_a_backup_of_the_earlier_version_is_restored_by_command(
    own_profile: str, version: str, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    """As old as it is: what was open then has expired."""
    backup = str(shutil.copy(RECORDINGS / version / "shop.dump", tmp_path))
    recording = Recording.read(RECORDINGS / version, as_if_made_now=False)
    async with installed(own_profile, PAYMENT_SUCCESS_RATE="1") as system:
        await system.command("restore", "--file", backup)
        await system.look_up()

        assert not await settled_books(system.database_url, initial(recording), within_seconds=60)
        for asked in recording.answers:
            answer = await client.get(f"{system.urls[asked['service']]}{asked['path']}")
            assert holds(asked["answer"], answer.raise_for_status().json()), asked["path"]


async def test_the_newest_migration_of_each_service_is_undone_without_loss_or_refused_in_a_sentence(
    servers: None, version: str
) -> None:
    """Those that make the first tables are left out: undone, they take everything with them."""
    url, drop = await asyncio.to_thread(make_database, *(ROOT / name for name in ROLES))
    try:
        await load_database(url, Recording.read(RECORDINGS / version))
        await migrate_all(url)
        before = await contents(url)
        for service in ROLES:
            if len(list((ROOT / service / "alembic" / "versions").glob("*.py"))) == 1:
                continue
            assert 'File "' not in await refusal_of_downgrade(service, url), "a traceback is no sentence"
            await asyncio.to_thread(migrate, ROOT / service, url, "upgrade", "head")
            assert await contents(url) == before, service
    finally:
        await asyncio.to_thread(drop)


async def test_what_an_earlier_version_s_roles_owned_is_the_owners_while_its_code_runs(
    servers: None, version: str
) -> None:
    url, drop = await asyncio.to_thread(make_database, *(ROOT / name for name in ROLES))
    try:
        await load_database(url, Recording.read(RECORDINGS / version))
        old = {schema: await session_of(schema, url) for schema in SCHEMAS}
        before = {schema: await old[schema].fetchval(OLD_CODE) for schema in SCHEMAS}
        await migrate_all(url)
        for schema, session in old.items():
            assert await session.fetchval(OLD_CODE) == before[schema] > 0
            owners = await session.fetch(OWNERS)
            assert {row[0] for row in owners} == {f"{schema}_owner"}
            await session.close()
    finally:
        await asyncio.to_thread(drop)


async def session_of(schema: str, url: str) -> asyncpg.Connection:
    """As the service logs in, by its role's name."""
    login = {"user": schema, "password": schema, "server_settings": {"search_path": schema}}
    return await asyncpg.connect(url.replace("+asyncpg", ""), **login)


async def refusal_of_downgrade(service: str, url: str) -> str:
    """What it says instead of doing it."""
    try:
        await asyncio.to_thread(migrate, ROOT / service, url, "downgrade", "-1")
    except AssertionError as refusal:
        return str(refusal)
    return ""


async def contents(url: str) -> dict[str, Counter[str]]:
    """The rows of all tables, without their times, which a migration may set anew."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        times: dict[str, list[str]] = defaultdict(list)
        for table, column, kind in await connection.fetch(COLUMNS):
            times[table] += [column] if kind == "timestamp with time zone" else []
        query = "SELECT (to_jsonb(rows) - $1::text[])::text FROM {} AS rows"
        return {
            table: Counter(row for (row,) in await connection.fetch(query.format(table), names))
            for table, names in times.items()
        }
    finally:
        await connection.close()
