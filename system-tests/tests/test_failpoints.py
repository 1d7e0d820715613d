"""Each service killed at each point at which its memory, its database, the broker and the gateway disagree: nothing is
lost, and nothing happens twice. The package `failpoints` says what the points are."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from signal import SIGKILL
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from chassis.testing import eventually

import way
from bus import Bus, bus, events_in
from failpoints import DEAD_LETTERS, POINTS, RETRIES
from operations import books
from operations.addresses import ROLES, SERVICES
from operations.load import settled_books
from operations.shop import DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER, Line
from shop import Shop
from system import ROOT, System, fresh_system

ORDER, INVENTORY, PAYMENT, NOTIFICATION, *_ = SERVICES

DEATHS: list[dict[str, list[str]]] = [
    {ORDER: ["before-commit:place_orders"]},
    {ORDER: ["before-commit:cancel_orders"]},
    {ORDER: ["before-commit:order deadlines"]},
    {INVENTORY: ["before-commit:set_stock"]},
    {PAYMENT: ["before-commit:apply_answers"]},
    *({service: ["before-commit:consumer"]} for service in ROLES),
    {ORDER: ["committed-before-publish:place_orders"]},
    {ORDER: ["committed-before-publish:cancel_orders"]},
    {ORDER: ["committed-before-publish:order deadlines"]},
    {ORDER: ["committed-before-publish:order.completed"]},
    {INVENTORY: ["committed-before-publish:inventory.reserved"]},
    {INVENTORY: ["committed-before-publish:inventory.unavailable"]},
    {INVENTORY: ["committed-before-publish:inventory.released"]},
    {PAYMENT: ["committed-before-publish:payment.processed"]},
    {PAYMENT: ["committed-before-publish:payment.failed"]},
    {PAYMENT: ["committed-before-publish:payment.refunded"]},
    *({service: ["published-before-delete"]} for service in ROLES),
    # What is swept must first have been left behind.
    *({service: ["committed-before-publish", "swept-before-delete"]} for service in ROLES),
    {NOTIFICATION: ["events-before-ack"]},
    {PAYMENT: ["lease-before-gateway:charge"]},
    {PAYMENT: ["lease-before-gateway:refund"]},
    {PAYMENT: ["answer-before-commit:charge"]},
    {PAYMENT: ["answer-before-commit:refund"]},
    # All of them in the course of the same orders.
    {service: ["unconfirmed"] for service in ROLES},
    {service: ["deleted"] for service in ROLES},
    {service: ["acked"] for service in SERVICES},
    {service: [f"set-aside-before-ack:{RETRIES}"] for service in SERVICES},
]


def name_of(deaths: dict[str, list[str]]) -> str:
    return f"{', '.join(deaths)} at {', then '.join(next(iter(deaths.values())))}"


EXPIRE = "UPDATE orders.orders SET due_at = now(), expires_at = now() WHERE id = $1 AND status = 'confirmed'"
PUT_OFF = """UPDATE payments.payments SET due_at = now() + interval '1 minute'
             WHERE customer_id = $1 AND outcome_unknown AND lease IS NULL"""
ASK_AGAIN = """UPDATE payments.payments SET due_at = now()
               WHERE order_id = $1 AND outcome_unknown AND lease IS NULL AND undone_reason IS NOT NULL"""
REMIND = "UPDATE inventory.reservations SET remind_at = now() WHERE order_id = $1 AND status = 'held'"

R = TypeVar("R")


class Street:
    """A system whose services can be killed at a point, its customers, and what must be true in the end."""

    def __init__(self, system: System, client: httpx.AsyncClient, channel: Bus, database: asyncpg.Pool) -> None:
        self.system = system
        self.channel = channel
        self._database = database
        self._shop = Shop(system, client)
        self._stock: dict[UUID, int] = {}
        self._orders: set[UUID] = set()

    def arm(self, service: str, point: str) -> None:
        Path(self.system.services[service].environment["FAILPOINT_FILE"]).write_text(point)

    def disarm(self, service: str) -> None:
        Path(self.system.services[service].environment["FAILPOINT_FILE"]).unlink(missing_ok=True)

    async def die(self, service: str, points: Sequence[str]) -> None:
        """Sees the service die at each of the points, the first of which is armed, and starts it again each time."""
        for point, following in zip_longest(points, points[1:]):
            await self.dies(service, point)
            if following:
                self.arm(service, following)
            self.system.start(service)

    async def dies(self, service: str, point: str) -> None:
        """Returns once the service has died at that very point."""
        victim = self.system.services[service]
        try:
            await eventually(lambda: not victim.running, seconds=20)
        except TimeoutError:
            raise AssertionError(f"{service} did not reach {point}; its log ends:\n{victim.tail(3)}") from None
        assert await victim.end(SIGKILL) == -SIGKILL
        assert victim.lines()[-1] == {"event": "died of a failpoint", "point": point}

    async def well(self) -> None:
        """Returns once all services run, none of them armed."""
        for name, service in self.system.services.items():
            self.disarm(name)
            if not service.running:
                self.system.start(name)
        await self.system.healthy()

    async def orders_and_deaths(self, deaths: Mapping[str, Sequence[str]]) -> None:
        """Orders of every end, placed at the same moment, while the services die at these points one after another."""
        plenty, scarce = await self.stock(100), await self.stock(1)
        for service, points in deaths.items():
            self.arm(service, points[0])
        async with asyncio.TaskGroup() as events:
            for event in (
                self.place(plenty),
                self.place(plenty),
                self.place(plenty, customer=DECLINED_CUSTOMER),
                self.place(scarce, 2),
                self.place_and_cancel(plenty),
                self.place_and_get_refunded(plenty),
                self.place_and_let_expire(plenty),
                self.stock(1),
                *(self.die(service, points) for service, points in deaths.items()),
            ):
                events.create_task(event)

    async def stock(self, quantity: int) -> UUID:
        product = uuid4()
        self._stock[product] = quantity
        return await _answered(lambda: self._shop.stock(quantity, product))

    async def place(self, product: UUID, quantity: int = 1, *, customer: UUID | None = None) -> UUID:
        key = {"Idempotency-Key": str(uuid4())}
        customer = customer or uuid4()
        order = await _answered(lambda: self._shop.place(Line(product, quantity), customer=customer, headers=key))
        self._orders.add(UUID(order["id"]))
        return UUID(order["id"])

    async def place_and_cancel(self, product: UUID) -> None:
        """At once: it may be in time or not."""
        await self.cancel(await self.place(product))

    async def cancel(self, order_id: UUID) -> None:
        await _answered(lambda: self._shop.cancel(str(order_id)))

    async def place_and_get_refunded(self, product: UUID) -> None:
        """The order is cancelled while nobody knows that the gateway has charged for it."""
        async with (
            asyncio.TaskGroup() as both
        ):  # the order's answer may be lost, and come when the second charge is over
            both.create_task(self.change(PUT_OFF, FORGETFUL_CUSTOMER))
            placed = both.create_task(self.place(product, customer=FORGETFUL_CUSTOMER))
        order_id = placed.result()
        await self.cancel(order_id)
        await self.change(ASK_AGAIN, order_id)

    async def place_and_let_expire(self, product: UUID) -> None:
        """The deadline passes while the payment waits for its next attempt."""
        await self.change(EXPIRE, await self.place(product, customer=FAILING_CUSTOMER))

    async def change(self, statement: str, whose: UUID) -> None:
        """Makes the change, to an order or to a customer's payment, as soon as there is a row for it."""

        async def changed() -> bool:
            return bool(await self._database.execute(statement, whose) == "UPDATE 1")

        try:
            await eventually(changed, seconds=20)
        except TimeoutError:
            raise AssertionError(f"{whose} never came to: {statement}") from None

    async def is_right(self) -> None:
        """Returns once all that was ordered has come to its proper end."""
        url = self.system.database_url
        assert await settled_books(url, self._stock, within_seconds=30) == []
        orders = (await books.read(url)).orders
        assert orders.keys() == self._orders
        assert await self.dead_letters() == dict.fromkeys(SERVICES, 0)
        for order_id, (charges, refunds) in self._money().items():
            completed = orders[order_id]["status"] == "completed"
            assert (len(charges), len(charges) - len(refunds)) in ((1, completed), (0, 0)), f"{charges}, {refunds}"
        ends = {f"{order_id} Order {order['status']}" for order_id, order in orders.items()}
        await eventually(lambda: ends <= self._told())

    async def dead_letters(self) -> dict[str, int]:
        return {service: (await self.channel.state(f"{service}.dlq"))[0] for service in SERVICES}

    def _money(self) -> dict[UUID, tuple[set[str], set[str]]]:
        """By order the keys under which the gateway has charged and refunded, by its own account."""
        keys: dict[UUID, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
        for line in self.system.services[PAYMENT].lines():
            if line["event"] == "gateway":
                keys[UUID(line["order"])][line["kind"] == "refund"].add(line["key"])
        return keys

    def _told(self) -> set[str]:
        """What customers were told about their orders, as far as it names how one ended."""
        lines = self.system.services[NOTIFICATION].lines()
        told = [line for line in lines if line["event"] == "told"]
        return {f"{line['message'].split()[2].rstrip(':')} {line['subject']}" for line in told}


async def _answered(ask: Callable[[], Awaitable[R]]) -> R:
    """Asks until the service answers, as a client does; meanwhile the edge may, if there is one."""
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await ask()
                if not isinstance(answer, httpx.Response) or answer.status_code not in way.UNANSWERED:
                    return answer
            except httpx.TransportError:
                pass
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in way.UNANSWERED:
                    raise
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
async def shared_street(
    servers: None, client: httpx.AsyncClient, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Street]:
    logs = tmp_path_factory.mktemp("logs")
    async with fresh_system(
        logs,
        started=False,
        PYTHONPATH=str(ROOT / "system-tests"),
        PAYMENT_SUCCESS_RATE="1",
        PAYMENT_RETRY_DELAYS_SECONDS="60",
    ) as system:
        for name, service in system.services.items():
            service.app = "failpoints.build:app"
            service.mortal = True
            service.environment["FAILPOINT_FILE"] = str(logs / f"{name}.failpoint")
        async with (
            bus(system.rabbitmq_url) as channel,
            asyncpg.create_pool(system.database_url.replace("+asyncpg", ""), min_size=1, max_size=4) as database,
        ):
            yield Street(system, client, channel, database)


@pytest.fixture
async def street(shared_street: Street) -> Street:
    await shared_street.well()
    return shared_street


@pytest.mark.parametrize("deaths", DEATHS, ids=name_of)
async def test_a_death_loses_nothing_and_repeats_nothing(street: Street, deaths: dict[str, list[str]]) -> None:
    await street.orders_and_deaths(deaths)

    await street.is_right()


@pytest.mark.parametrize("service", ROLES)
async def test_what_was_committed_and_not_acknowledged_comes_again_and_is_known(street: Street, service: str) -> None:
    said = len(street.system.services[service].lines())

    await street.orders_and_deaths({service: ["events-before-ack"]})

    await street.is_right()
    consumed = [line for line in street.system.services[service].lines()[said:] if line["event"] == "consumed"]
    assert sum(line["duplicates"] for line in consumed) > 0


async def test_a_death_after_reminding_of_a_reservation_still_heals_a_lost_decision(street: Street) -> None:
    order_id = await street.place(await street.stock(1), customer=FAILING_CUSTOMER)
    await street.change(REMIND.replace("now()", "remind_at"), order_id)
    await street.system.kill(INVENTORY)
    await street.cancel(order_id)
    lost: list[str] = []

    async def decision_lost() -> bool:
        lost.extend(event["type"] for message in await street.channel.take(INVENTORY) for event in events_in(message))
        return "OrderCancelled" in lost

    await eventually(decision_lost)
    await street.change(REMIND, order_id)
    street.arm(INVENTORY, "committed-before-publish:reminders")

    street.system.start(INVENTORY)
    await street.die(INVENTORY, ["committed-before-publish:reminders"])

    await street.is_right()


async def test_a_death_after_setting_a_poison_aside_loses_no_dead_letter(street: Street) -> None:
    for service in SERVICES:
        street.arm(service, f"set-aside-before-ack:{DEAD_LETTERS}")
        await street.channel.send(b"poison", routing_key=service, exchange="")

    for service in SERVICES:
        await street.dies(service, f"set-aside-before-ack:{DEAD_LETTERS}")
    await street.well()

    await eventually(lambda: _all_twice(street))
    for service in SERVICES:
        assert {letter.body for letter in await street.channel.take(f"{service}.dlq")} == {b"poison"}
    await street.is_right()


async def _all_twice(street: Street) -> bool:
    """It was set aside before each death and again after it: at least once, as it is promised."""
    return await street.dead_letters() == dict.fromkeys(SERVICES, 2)


def test_every_point_is_one_of_these() -> None:
    assert {
        point.partition(":")[0] for deaths in DEATHS for points in deaths.values() for point in points
    } == POINTS.keys()
