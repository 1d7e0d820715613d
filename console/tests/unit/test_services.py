"""The four services over HTTP."""

import httpx
import pytest
from chassis.ports.errors import Unavailable

from application.ports import AUTHORIZATION, Refused
from infrastructure.services import HttpServices
from tests.seen import CUSTOMER, ORDER, PRODUCT, Pretended, order, problem

URLS = {
    "order-service": ["http://orders:1", "http://orders2:1"],
    "inventory-service": ["http://inventory:1"],
    "payment-service": ["http://payments:1"],
    "notification-service": ["http://notifications:1"],
}
INTERNAL_URLS = URLS | {"notification-service": ["http://notifications-internal:1"]}
METRICS = """\
# HELP orders_total Orders by the status that they have reached
orders_total{status="pending"} 12.0
orders_total{status="completed"} 9.0
orders_created{status="pending"} 1.7e+09
events_published_total{type="OrderCreated"} 12.0
events_published_total{type="OrderConfirmed"} 10.0
outbox_backlog 3.0
process_cpu_seconds_total 17.0
"""


@pytest.fixture
def pretended() -> Pretended:
    return Pretended()


@pytest.fixture
def services(pretended: Pretended, monkeypatch: pytest.MonkeyPatch) -> HttpServices:
    async def as_it_is(url: str) -> list[str]:
        return [url]

    monkeypatch.setattr("infrastructure.services.addresses", as_it_is)
    return HttpServices(URLS, INTERNAL_URLS, pretended.client())


def health(service: str, **checks: str | None) -> httpx.Response:
    shown = {
        name: {"status": "failing", "detail": detail} if detail else {"status": "ok"} for name, detail in checks.items()
    }
    return httpx.Response(503 if any(checks.values()) else 200, json={"service": service, "checks": shown})


async def test_each_replica_is_seen_with_its_health_and_its_figures(
    pretended: Pretended, services: HttpServices
) -> None:
    said = {"orders": health("order-service", broker=None), "orders2": health("order-service", broker="not connected")}
    pretended.answers["GET /health"] = lambda request: said.get(request.url.host, health("somebody-else"))
    pretended.answers["GET /metrics"] = httpx.Response(200, text=METRICS)
    pretended.away = {"payments"}
    replicas = await services.replicas()
    assert [(replica.name, replica.state, replica.problems) for replica in replicas["order-service"]] == [
        ("orders:1", "ok", []),
        ("orders2:1", "failing", ["broker: not connected"]),
    ]
    assert replicas["order-service"][0].figures == {
        "orders_total/pending": 12,
        "orders_total/completed": 9,
        "events_published_total": 22,
        "outbox_backlog": 3,
    }
    assert [replica.state for replica in replicas["payment-service"]] == ["away"]
    assert replicas["inventory-service"][0].problems == ["somebody-else answers there"]
    assert replicas["notification-service"][0].name == "notifications-internal:1"


async def test_services_are_asked_as_whoever_asks_the_page_and_watched_as_nobody(
    pretended: Pretended, services: HttpServices
) -> None:
    given: list[str | None] = []

    def note(request: httpx.Request) -> httpx.Response:
        given.append(request.headers.get("authorization"))
        return httpx.Response(200, json=order())

    pretended.answers |= {f"{method} /orders/{ORDER}": note for method in ("GET", "DELETE")}
    pretended.answers |= {"GET /health": note, "GET /metrics": note}
    await services.order(ORDER)
    token = AUTHORIZATION.set("Bearer a-token")
    await services.cancel(ORDER)
    await services.replicas()
    AUTHORIZATION.reset(token)
    assert given[:2] == [None, "Bearer a-token"]
    assert set(given[2:]) == {None}


@pytest.mark.parametrize(
    "content", ["", "[]", '{"service": "order-service"}', '{"service": "order-service", "checks": 7}']
)
async def test_an_answer_that_is_no_health_counts_as_none(
    pretended: Pretended, services: HttpServices, content: str
) -> None:
    pretended.answers["GET /health"] = httpx.Response(200, text=content)
    pretended.answers["GET /metrics"] = httpx.Response(200, text=METRICS)
    assert {replica.state for replica in (await services.replicas())["order-service"]} == {"away"}


async def test_all_that_is_told_of_an_order_comes_together(pretended: Pretended, services: HttpServices) -> None:
    pretended.answers |= {
        f"GET /orders/{ORDER}": httpx.Response(200, json=order()),
        f"GET /orders/{ORDER}/timeline": httpx.Response(200, json=[{"event": "OrderCreated"}]),
        f"GET /inventory/{PRODUCT}": httpx.Response(200, json={"product_id": PRODUCT, "quantity_available": 3}),
        "GET /notifications": httpx.Response(200, json=[{"message": "hello"}]),
    }
    told = await services.told(ORDER)
    assert told.order == order()
    assert [*told.timeline] == [{"event": "OrderCreated"}]
    assert told.payment is None
    assert told.stock[PRODUCT]["quantity_available"] == 3
    assert [*told.notifications] == [{"message": "hello"}]
    assert [*told.silent] == []
    assert any(CUSTOMER in asked for asked in pretended.asked)


async def test_who_does_not_answer_is_named_and_the_others_are_told(
    pretended: Pretended, services: HttpServices
) -> None:
    pretended.answers[f"GET /orders/{ORDER}"] = httpx.Response(200, json=order())
    pretended.away = {"payments", "notifications"}
    told = await services.told(ORDER)
    assert told.order == order()
    assert [*told.silent] == ["notification-service", "payment-service"]


async def test_another_replica_is_asked_when_one_is_away(pretended: Pretended, services: HttpServices) -> None:
    pretended.away = {"orders"}
    pretended.answers["POST /orders"] = httpx.Response(201, json=order())
    assert (await services.place({}))["id"] == ORDER
    assert pretended.asked == ["POST orders/orders", "POST orders2/orders"]


async def test_an_order_that_may_have_arrived_is_not_placed_again(pretended: Pretended, services: HttpServices) -> None:
    def lost(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    pretended.answers["POST /orders"] = lost
    with pytest.raises(Unavailable, match="order-service does not answer"):
        await services.place({})
    assert len(pretended.asked) == 1


async def test_a_change_of_stock_is_sent_to_another_replica_under_its_key(
    pretended: Pretended,
) -> None:
    keys: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers.get("idempotency-key"))
        if len(keys) == 1:
            raise httpx.ReadTimeout("", request=request)
        return httpx.Response(201, json={"quantity_available": 15})

    replicas = {"inventory-service": ["http://127.0.0.1:1", "http://127.0.0.2:1"]}
    services = HttpServices(replicas, {}, pretended.client())
    pretended.answers[f"POST /inventory/{PRODUCT}/changes"] = answer
    assert (await services.change_stock(PRODUCT, 10, "delivery-7"))["quantity_available"] == 15
    assert keys == ["delivery-7", "delivery-7"]
    assert pretended.asked == [f"POST 127.0.0.{number}/inventory/{PRODUCT}/changes" for number in (1, 2)]


async def test_a_services_refusal_is_passed_on_in_its_own_words(pretended: Pretended, services: HttpServices) -> None:
    pretended.answers[f"DELETE /orders/{ORDER}"] = problem(409, "illegal-transition", "It is completed.")
    with pytest.raises(Refused) as refused:
        await services.cancel(ORDER)
    assert (refused.value.status, refused.value.slug, refused.value.detail) == (
        409,
        "illegal-transition",
        "It is completed.",
    )


@pytest.mark.parametrize("answer", [problem(503, "unavailable", "later"), httpx.Response(200, text="<html>")])
async def test_an_answer_that_is_none_is_an_outage(
    pretended: Pretended, services: HttpServices, answer: httpx.Response
) -> None:
    pretended.answers["GET /inventory"] = answer
    with pytest.raises(Unavailable):
        await services.stock()


async def test_a_product_that_nobody_has_is_none(services: HttpServices) -> None:
    assert await services.stock_of(PRODUCT) is None


async def test_a_name_with_several_addresses_stands_for_a_replica_at_each() -> None:
    pretended = Pretended()
    pretended.answers["GET /health"] = health("order-service", broker=None)
    pretended.answers["GET /metrics"] = httpx.Response(200, text=METRICS)
    services = HttpServices({}, {"order-service": ["http://127.0.0.1:8", "http://localhost:9"]}, pretended.client())
    assert [replica.name for replica in (await services.replicas())["order-service"]] == ["127.0.0.1:8", "localhost:9"]
    nowhere = HttpServices({}, {"order-service": ["http://nowhere.invalid:8"]}, pretended.client())
    assert [replica.name for replica in (await nowhere.replicas())["order-service"]] == ["nowhere.invalid:8"]
