"""The restore drill: a backup is taken amid the traffic, more orders come, the database is lost and made anew. The
broker and the payment gateway then know more than the database does, until the books agree again."""

import asyncio
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage
from chassis.testing import eventually

from bus import bus, events_in
from installed import Failed, Installed, installed
from operations import backup, books, reconcile, restore
from operations.books.rows import LOST
from operations.reconcile import Charge, Found
from operations.shop import FAILING_CUSTOMER, FORGETFUL_CUSTOMER, Line
from shop import Shop
from system import System, fresh_system, migrate_all

STOCK = 10_000

pytestmark = pytest.mark.skipif(
    shutil.which("pg_dump") is None, reason="PostgreSQL's own programs are needed: install `postgresql-client`"
)


class Gateway:
    """What the gateway would report: it remembers each charge and refund, whatever becomes of our database."""

    def __init__(self, messages: "asyncio.Queue[AbstractIncomingMessage]") -> None:
        self._messages = messages
        self._charges: dict[UUID, Charge] = {}

    def report(self) -> list[Charge]:
        while not self._messages.empty():
            for event in events_in(self._messages.get_nowait()):
                if event["type"] == "PaymentProcessed":
                    charge = reconcile.CHARGE.validate_python(event["data"])
                    self._charges.setdefault(charge.payment_id, charge)
                elif event["type"] == "PaymentRefunded":
                    charge = reconcile.CHARGE.validate_python(event["data"])
                    self._charges[charge.payment_id] = replace(charge, refunded=True)
        return list(self._charges.values())


class Drill:
    """With the steps taken one by one, as by hand."""

    def __init__(
        self, system: System | Installed, shop: Shop, gateway: Gateway, folder: Path, chance: random.Random
    ) -> None:
        self.system = system
        self.shop = shop
        self.gateway = gateway
        self.file = folder / "shop.dump"
        self.initial: dict[UUID, int] = {}
        self.done: list[Found] = []
        self._chance = chance

    @property
    def database(self) -> str:
        return urlsplit(self.system.database_url).path.removeprefix("/")

    async def trade(self, number: int, *, cancelled: float = 0.2) -> list[str]:
        """So many orders, one after the other, a part of them cancelled at some time; returns their ids."""
        placed = []
        for _ in range(number):
            customer = self._chance.choice([uuid4(), uuid4(), uuid4(), FORGETFUL_CUSTOMER, FAILING_CUSTOMER])
            line = Line(self._chance.choice(list(self.initial)), self._chance.randint(1, 5))
            placed.append((await self.shop.place(line, customer=customer))["id"])
            if self._chance.random() < cancelled:
                await self.shop.cancel(self._chance.choice(placed))
        return placed

    async def ask_under(self, key: str) -> httpx.Response:
        """The same order of the same customer whenever it is asked."""
        line, customer = Line(next(iter(self.initial)), 2), UUID("5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11")
        return await self.shop.ask(line, customer=customer, headers={"Idempotency-Key": key})

    async def are_confirmed_or_cancelled(self, order_ids: list[str]) -> bool:
        return all([(await self.shop.order(order_id))["status"] != "pending" for order_id in order_ids])

    async def is_held_for_any_of(self, order_ids: list[str]) -> bool:
        return not (await books.read(self.system.database_url)).reservations.keys().isdisjoint(map(UUID, order_ids))

    async def backup(self) -> None:
        await asyncio.to_thread(backup.dump, self.system.database_url, self.file)

    async def act(self, found: Found) -> None:
        await asyncio.to_thread(reconcile.act, self.system.database_url, found)

    async def reconcile(self) -> None:
        """As often as it takes."""
        url = self.system.database_url

        async def nothing_is_left() -> bool:
            if any((await books.read(url)).outboxes.values()):
                return False  # what was entered last is still to be told
            found = await reconcile.find(url, self.gateway.report())
            if found.orders or found.charges:
                await self.act(found)
            self.done.append(found)
            return not (found.orders or found.charges or found.later) and await self.agree()

        try:
            await eventually(nothing_is_left, seconds=180)
        except TimeoutError:
            pytest.fail(f"{reconcile.report(self.done[-1])}\n" + "\n".join(await books.audit(url, self.initial)))

    async def agree(self) -> bool:
        return not await books.audit(self.system.database_url, self.initial)

    async def expect_that_all_is_well(self) -> None:
        url = self.system.database_url
        known = await books.read(url)
        kept = {charge.order_id: charge for charge in self.gateway.report() if not charge.refunded}
        completed = {order_id for order_id, order in known.orders.items() if order["status"] == "completed"}
        payments = [charge.order_id for charge in self.gateway.report()]
        assert len(payments) == len(set(payments)), "an order was charged under two keys"
        assert kept.keys() <= completed, "money was kept for an order that is not completed"
        for order_id, charge in kept.items():
            assert known.payments[order_id]["id"] == charge.payment_id
        people = "\n".join(self.done[-1].people)
        for order_id in completed - kept.keys():
            assert f"{order_id} is completed" in people, "given back in the time that is lost, and nobody says so"

    async def expect_that_doing_it_again_changes_nothing(self) -> None:
        before = await books.read(self.system.database_url)
        for found in self.done:
            await asyncio.to_thread(
                reconcile.act, self.system.database_url, Found(found.orders[:20], found.charges[:20])
            )
        await eventually(self.agree, seconds=30)  # a decision may have been said once more
        assert (await books.read(self.system.database_url)).orders == before.orders


class DrillByCommands(Drill):
    """With the commands that a person gives."""

    system: Installed
    agreed = False
    """Whether the command has ever said what we had found a moment before; what heals by itself may come between."""

    @property
    def undelivered(self) -> Path:
        return Path(f"{self.file}.undelivered.jsonl")

    async def backup(self) -> None:
        assert "checked" in await self.system.command("backup", "--file", str(self.file))

    async def restore(self) -> None:
        assert "The system is up" in await self.system.command("restore", "--file", str(self.file))
        await self.system.look_up()

    async def act(self, found: Found) -> None:
        report = self.file.with_name("charges.jsonl")
        lines = [json.dumps(asdict(charge), default=str) for charge in self.gateway.report()]
        report.write_text("".join(f"{line}\n" for line in lines))
        said = await self.system.command("reconcile", "--arguments", f"--charges '{report}'")
        self.agreed |= reconcile.report(found).splitlines()[-1] in said

    def was_charged_in_both_lives(self) -> bool:
        """Whether the gateway has said of one key twice that it is charged."""
        lines = self.system.lines("payment-service")
        done = [line["key"] for line in lines if (line.get("kind"), line.get("answer")) == ("charge", "done")]
        return max(Counter(done).values()) > 1


async def administer(database_url: str, *statements: str) -> None:
    async with restore.server(database_url) as connection:
        for statement in statements:
            await connection.execute(statement)


_Kind = TypeVar("_Kind", bound=Drill)


@asynccontextmanager
async def drill(
    kind: type[_Kind], system: System | Installed, folder: Path, client: httpx.AsyncClient, chance: random.Random
) -> AsyncIterator[_Kind]:
    async with bus(system.rabbitmq_url) as connected, connected.messages("payment.*") as arrived:
        running = kind(system, Shop(system, client), Gateway(arrived), folder, chance)
        running.initial = {await running.shop.stock(STOCK): STOCK for _ in range(3)}
        yield running


async def test_a_database_that_is_lost_under_way_is_restored_and_the_books_agree_again(
    own_profile: str, tmp_path: Path, client: httpx.AsyncClient, chance: random.Random
) -> None:
    async with (
        installed(
            own_profile,
            ORDER_EXPIRES_AFTER_SECONDS="90",  # longer than from the backup to the second life: no charge begins later
            PAYMENT_SUCCESS_RATE="0.5",
            PAYMENT_RETRY_DELAYS_SECONDS="3,3,3",
        ) as system,
        drill(DrillByCommands, system, tmp_path, client, chance) as shop,
    ):
        first = await shop.ask_under("kept")
        await shop.trade(30)
        trading = asyncio.create_task(shop.trade(60))
        await shop.backup()
        await trading
        lost = await shop.trade(60)
        lost.append((await shop.ask_under("forgotten")).json()["id"])
        await eventually(lambda: len(shop.gateway.report()) > 40, seconds=60)
        await expect_that_no_backup_is_refused_before_anything_is_stopped(shop, tmp_path)
        await system.stop("payment-service")  # so that the queues bear something
        await shop.trade(10)
        await administer(system.database_url, f"DROP DATABASE {shop.database} WITH (FORCE)")

        await shop.restore()
        again = await shop.ask_under("kept")
        anew = await shop.ask_under("forgotten")
        await shop.reconcile()

        assert shop.agreed
        assert (again.status_code, again.headers["Idempotent-Replayed"], again.json()) == (201, "true", first.json())
        assert (anew.status_code, anew.headers.get("Idempotent-Replayed")) == (201, None)
        assert anew.json()["id"] not in lost
        assert "InventoryReserved" in shop.undelivered.read_text()
        assert shop.was_charged_in_both_lives(), "no charge was asked for a second time: the drill proves nothing"
        await shop.expect_that_all_is_well()
        await shop.expect_that_doing_it_again_changes_nothing()
        known = (await books.read(system.database_url)).orders
        adopted = [
            known[order_id]
            for charge in shop.gateway.report()
            if str(order_id := charge.order_id) in lost
            if order_id in known
        ]
        assert {(order["status"], order["reason"]) for order in adopted} == {("failed", LOST)}
        told = await shop.shop.told({"id": str(adopted[0]["id"]), "customer_id": adopted[0]["customer_id"]})
        assert sorted(told) == ["Order failed", "Payment refunded"]


async def expect_that_no_backup_is_refused_before_anything_is_stopped(shop: DrillByCommands, folder: Path) -> None:
    (folder / "text.dump").write_text("CREATE TABLE orders ();")
    for file, complaint in ((str(folder / "text.dump"), "archive"), ("", "Which backup?")):
        with pytest.raises(Failed, match=re.escape(complaint)):
            await shop.system.command("restore", "--file", file)
    await shop.trade(1)


async def test_orders_that_a_queue_brings_back_after_a_restore_by_hand_are_undone(
    servers: None, tmp_path: Path, client: httpx.AsyncClient, chance: random.Random
) -> None:
    """The queues were not emptied: services act on events of orders that nobody knows any more."""
    async with (
        fresh_system(tmp_path, PAYMENT_SUCCESS_RATE="1") as system,
        drill(Drill, system, tmp_path, client, chance) as shop,
    ):
        for order_id in await shop.trade(10):
            await shop.shop.ended(order_id)
        await shop.backup()
        await system.stop("payment-service")
        reserved = await shop.trade(20)
        await eventually(lambda: shop.are_confirmed_or_cancelled(reserved))
        await system.stop("inventory-service")
        unseen = await shop.trade(20)
        await system.kill()

        await restore.load(system.database_url, shop.file)
        kept = await restore.swap(system.database_url)
        await administer(system.database_url, f"DROP DATABASE {kept}")
        await migrate_all(system.database_url)
        system.start()
        await system.healthy()
        await eventually(lambda: shop.is_held_for_any_of(unseen))
        await shop.reconcile()

        await shop.expect_that_all_is_well()
        known = (await books.read(system.database_url)).orders
        for placed in (reserved, unseen):  # of one that was cancelled there may be nothing but a tombstone
            assert {known[order_id]["reason"] for order_id in map(UUID, placed) if order_id in known} == {LOST}
        await shop.expect_that_doing_it_again_changes_nothing()
