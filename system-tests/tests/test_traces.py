"""An order is one connected trace over four services, and whoever takes the spans can't hold up an order."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
from chassis.testing import eventually

from bus import Listener, bus
from collector import Collector, Seen, collector
from operations.addresses import SERVICES
from operations.shop import FAILING_CUSTOMER, Line
from shop import Shop
from system import System, fresh_system

CALLER = "00f067aa0ba902b7"
EVERYTHING_SOON = {"OTEL_TRACES_SAMPLER_ARG": "1", "OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture(scope="module")
async def spans(servers: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Collector]:
    async with collector(tmp_path_factory.mktemp("spans")) as collecting:
        yield collecting


@pytest.fixture(scope="module")
async def traced(servers: None, spans: Collector, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A system that records everything."""
    logs = tmp_path_factory.mktemp("traced")
    async with fresh_system(logs, started=False, PAYMENT_SUCCESS_RATE="1", LOG_LEVEL="DEBUG") as running:
        for name in SERVICES:
            running.start(name, OTEL_EXPORTER_OTLP_ENDPOINT=spans.endpoint(name), **EVERYTHING_SOON)
        await running.healthy()
        yield running


@pytest.fixture(scope="module")
def shop(traced: System, client: httpx.AsyncClient) -> Shop:
    return Shop(traced, client)


async def place(shop: Shop, *, customer: UUID | None = None, flags: str = "00") -> tuple[str, str]:
    """The order's id and its trace's."""
    trace = uuid4().hex
    headers = {"traceparent": f"00-{trace}-{CALLER}-{flags}"}
    order = await shop.place(Line(await shop.stock(10)), customer=customer, headers=headers)
    assert order["trace_id"] == trace
    return order["id"], trace


def send(event: str) -> str:
    return f"send order_events:{event}"


def process(event: str, service: str) -> str:
    return f"process order_events:{event}:{service}-service"


def unconnected(trace: list[Seen]) -> list[Seen]:
    """The spans that can't be reached from the request that placed the order."""
    reached = {CALLER}
    while more := {span.id for span in trace if span.parent in reached} - reached:
        reached |= more
    return [span for span in trace if span.id not in reached]


async def whole(spans: Collector, trace: str, *names: str) -> list[Seen]:
    """The spans of the trace, once it has these and is connected: a part ends, and may arrive, before the whole."""
    try:
        await eventually(lambda: set(names) <= {span.name for span in spans.of(trace)})
        await eventually(lambda: not unconnected(spans.of(trace)))
    except TimeoutError:
        found = spans.of(trace)
        missing = set(names) - {span.name for span in found}
        raise AssertionError(f"missing: {missing}, unconnected: {unconnected(found)}") from None
    found = spans.of(trace)
    assert [span.name for span in found if span.parent == CALLER] == ["POST /orders"]
    return found


async def test_an_order_is_one_trace_over_four_services(spans: Collector, shop: Shop) -> None:
    order, trace = await place(shop)
    found = await whole(
        spans,
        trace,
        "POST /orders",
        "transaction place_orders",
        send("order.created"),
        process("order.created", "inventory"),
        send("inventory.reserved"),
        process("inventory.reserved", "payment"),
        "charge",
        "transaction apply_answers",
        send("payment.processed"),
        process("payment.processed", "order"),
        send("order.completed"),
        process("order.completed", "inventory"),
        process("order.completed", "notification"),
        "transaction handle_events",
    )
    assert {span.service for span in found} == set(SERVICES)
    assert not any(span.failed for span in found)
    messages = [span for span in found if span.name.startswith(("send ", "process "))]
    assert {span.attributes["messaging.message.conversation_id"] for span in messages} == {order}
    for span in found:
        assert (await shop.order(order))["customer_id"] not in str(span), "nothing personal is in a span"


async def test_a_cancelled_order_s_trace_has_the_cancel_and_what_it_undid(spans: Collector, shop: Shop) -> None:
    order, trace = await place(shop, customer=FAILING_CUSTOMER)
    await whole(spans, trace, "charge")
    (await shop.cancel(order)).raise_for_status()
    await whole(
        spans,
        trace,
        "transaction cancel_orders",
        send("order.cancelled"),
        process("order.cancelled", "inventory"),
        process("order.cancelled", "payment"),
        process("order.cancelled", "notification"),
        send("inventory.released"),
        process("inventory.released", "order"),
    )


async def test_each_attempt_of_a_payment_is_in_the_trace(spans: Collector, shop: Shop) -> None:
    order, trace = await place(shop, customer=FAILING_CUSTOMER)
    assert (await shop.ended(order))["status"] == "failed"
    await whole(spans, trace, "transaction due payments", process("order.failed", "inventory"))
    await eventually(lambda: len(spans.named(trace, "charge")) == 4)
    charges = spans.named(trace, "charge")
    assert [charge.attributes["payment.key"][-2:] for charge in charges] == [":1", ":2", ":3", ":4"]
    assert {(charge.attributes["payment.answer"], charge.failed) for charge in charges} == {("error", True)}


async def test_orders_that_share_batches_are_connected_each_for_itself(spans: Collector, shop: Shop) -> None:
    placed = await asyncio.gather(*(place(shop) for _ in range(40)))
    for order, trace in placed:
        assert (await shop.ended(order))["status"] == "completed"
        await whole(spans, trace, "charge", process("order.completed", "notification"))
    traces = {trace for _, trace in placed}
    shared = [
        span for span in spans.spans if span.trace not in traces and len({of for of, _ in span.links} & traces) > 1
    ]
    assert shared, "some of them met in a batch"
    batch, of = (shared[0].trace, shared[0].id), {trace for trace, _ in shared[0].links}
    await eventually(lambda: {span.trace for span in spans.spans if batch in span.links} == of)


async def test_every_line_about_one_order_has_its_trace(traced: System, spans: Collector, shop: Shop) -> None:
    order, trace = await place(shop)
    await whole(spans, trace, process("order.completed", "notification"), process("order.completed", "inventory"))
    customer = (await shop.order(order))["customer_id"]
    said: set[str] = set()
    for service in traced.services.values():
        for line in service.lines():
            if order in (line.get("order"), *(line.get("orders", ()) if len(line.get("orders", ())) == 1 else ())):
                assert line["trace_id"] == trace, line
                said.add(line["event"])
            if line.get("customer") == customer:
                assert line["trace_id"] == trace, line
                said.add(line["event"])
    assert said == {"event consumed", "event published", "consumed", "published", "payment attempt", "notification"}


@pytest.mark.parametrize(("ratio", "flags"), [("0", "01"), ("1", "00")])
async def test_a_caller_s_flag_decides_nothing(
    traced: System, spans: Collector, shop: Shop, ratio: str, flags: str
) -> None:
    await traced.restart("order-service", OTEL_TRACES_SAMPLER_ARG=ratio)
    async with bus(traced.rabbitmq_url) as connected_bus, connected_bus.messages() as arrived:
        listener = Listener(arrived)
        order, trace = await place(shop, flags=flags)
        assert (await shop.ended(order))["status"] == "completed"
        events = listener.events_of(order)
    assert {event["traceparent"][:35] for event in events} == {f"00-{trace}"}
    assert {event["traceparent"][-2:] for event in events} == {f"0{ratio}"}
    await traced.restart(*SERVICES, OTEL_TRACES_SAMPLER_ARG="1")  # they export what they have first
    _, later = await place(shop)
    await whole(spans, later, "POST /orders")
    assert bool(spans.of(trace)) == (ratio == "1")


async def test_a_receiver_out_of_reach_costs_no_order_and_what_it_misses_is_counted(
    traced: System, shop: Shop, spans: Collector
) -> None:
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    await traced.restart(*SERVICES, **nowhere)
    try:
        for order, _ in await asyncio.gather(*(place(shop) for _ in range(50))):
            assert (await shop.ended(order))["status"] == "completed"

        async def counted() -> bool:
            return all([await shop.metric(name, "spans_dropped_total") for name in SERVICES])

        await eventually(counted, seconds=20)
        said = [line["event"] for line in traced.services["order-service"].lines()]
        assert said.count("traces not exported; orders go on") == 1
    finally:
        await traced.stop()
        last = {name: {line["event"] for line in service.lines()[-3:]} for name, service in traced.services.items()}
        for name in SERVICES:
            traced.start(name, OTEL_EXPORTER_OTLP_ENDPOINT=spans.endpoint(name))
        await traced.healthy()
    assert all("stopped" in said for said in last.values()), last
