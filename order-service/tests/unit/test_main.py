"""What main.py puts together, on PostgreSQL in memory: what requests reach, and what the service does by itself."""

from datetime import timedelta
from types import ModuleType
from uuid import uuid4

import httpx
import pytest
from chassis.ports.unit_of_work import Claim
from chassis.testing import received
from chassis.testing.running import NOWHERE, client_of

from application.messages import CONSUMED
from domain import errors
from domain.order import Status
from infrastructure.unit_of_work import ORDERS, OrderUnitOfWork, PostgresOrders
from tests.builders import NOON, an_order
from tests.facts import paid
from tests.running import OrderUnits, load_main
from tests.shop import order_body

STATUSES = [
    (errors.InvalidOrder("It is too large."), 422),
    (errors.NotYourself("It is another's."), 403),
    (errors.OrderNotFound("It isn't there."), 404),
    (errors.IllegalTransition("completed", "cancelled"), 409),
    (errors.IdempotencyKeyReused("It came before."), 422),
    (errors.TooManyOpenOrders("That is enough."), 429),
]


async def run_job(main: ModuleType, name: str) -> None:
    """A turn of what the service does by itself."""
    [job] = [job for job in main.service.jobs if job.name == name]
    while await job.act():
        pass


def test_the_service_does_this_by_itself_so_often(main: ModuleType) -> None:
    assert {job.name: job.every_seconds for job in main.service.jobs} == {
        "outbox sweep": 5,
        "order deadlines": 1,
        "reminders": 1,
        "pruning of inbox": 600,
        "pruning of idempotency keys": 600,
    }


async def test_deadlines_are_kept_until_no_order_is_overdue(
    main: ModuleType, units: OrderUnits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.expire_orders.MAX_ORDERS_A_BATCH", 2)
    await units.put(ORDERS, *(an_order() for _ in range(5)))
    units.now += timedelta(minutes=15)
    await run_job(main, "order deadlines")
    assert {order.status for order in units.kept(ORDERS).values()} == {Status.FAILED}


async def test_orders_that_wait_ask_again_unless_nothing_leaves_the_outbox(main: ModuleType, units: OrderUnits) -> None:
    await units.put(ORDERS, an_order())
    units.now += timedelta(minutes=1)
    units.publisher.takes_repeats = False
    await run_job(main, "reminders")
    assert units.published == []
    units.publisher.takes_repeats = True
    await run_job(main, "reminders")
    assert [(told.event.name, told.repeat) for told in units.published] == [("OrderCreated", True)]


async def test_keys_are_forgotten_after_a_day_and_read_events_after_a_week(main: ModuleType, units: OrderUnits) -> None:
    async def read_and_claim(unit: OrderUnitOfWork) -> None:
        await unit.take_in("order-service", [received(paid(uuid4()))])
        await unit.claim([Claim("a customer", "a key", b"", uuid4())])

    await units.run(read_and_claim)
    for days, left in ((0.9, (1, 1)), (1.1, (1, 0)), (6.9, (1, 0)), (7.1, (0, 0))):
        units.now = NOON + timedelta(days=days)
        await run_job(main, "pruning of inbox")
        await run_job(main, "pruning of idempotency keys")
        assert (len(units.server.inbox), len(units.server.keys)) == left


def test_the_service_s_queue_is_bound_to_every_fact_that_it_reads(main: ModuleType) -> None:
    assert list(main.service.broker._queue.events) == list(CONSUMED)


@pytest.mark.parametrize(("error", "status"), STATUSES, ids=lambda value: type(value).__name__)
async def test_every_refusal_of_the_domain_has_its_status(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, error: errors.OrderError, status: int
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(PostgresOrders, "add", refuse)
    answer = await client.post("/orders", json=order_body())
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{vars(type(error))['slug']}")
    assert ("Retry-After" in answer.headers) is (status == 429)


@pytest.mark.parametrize(("limit", "statuses"), [("", [201] * 100 + [429]), ("2", [201, 201, 429]), ("0", [201] * 102)])
async def test_a_customer_may_have_so_many_open_orders(units: OrderUnits, limit: str, statuses: list[int]) -> None:
    servers = {"DATABASE_URL": f"postgresql://{NOWHERE}/none", "RABBITMQ_URL": f"amqp://{NOWHERE}/"}
    main = load_main(MAX_OPEN_ORDERS_PER_CUSTOMER=limit, **servers)
    units.replace_servers_of(main.service)
    customer = str(uuid4())
    async with client_of(main) as client:
        answers = [await client.post("/orders", json=order_body(customer_id=customer)) for _ in statuses]
        assert [answer.status_code for answer in answers] == statuses
        assert (await client.post("/orders", json=order_body())).status_code == 201


def test_no_refusal_of_the_domain_is_left_out() -> None:
    assert {type(error) for error, _ in STATUSES} == set(errors.OrderError.__subclasses__())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CURRENCY", "euro"),
        ("ORDER_EXPIRES_AFTER_SECONDS", "0"),
        ("MAX_OPEN_ORDERS_PER_CUSTOMER", "-1"),
        ("DATABASE_URL", "mysql://x"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_a_sentence(
    name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        load_main(**{name: value})
    assert f"{name}: " in capsys.readouterr().err
