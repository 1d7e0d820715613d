"""Who may call which route, where callers are checked, and whose orders they reach."""

from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import pytest
from chassis.testing.access import ISSUER, FakeIssuer, documented, load_in_production, who_gets_in
from chassis.testing.running import client_of

from infrastructure.unit_of_work import ORDERS
from tests.contracts import ROOT
from tests.running import OrderUnits
from tests.shop import assert_problem, order_body

ME, STRANGER = str(uuid4()), str(uuid4())


@pytest.fixture(scope="session")
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture(scope="session")
def secured(issuer: FakeIssuer) -> ModuleType:
    return load_in_production(ROOT / "order-service", issuer)


@pytest.fixture
async def client(secured: ModuleType, units: OrderUnits) -> AsyncIterator[httpx.AsyncClient]:
    units.replace_servers_of(secured.service)
    async with client_of(secured) as client:
        yield client


@pytest.fixture
def me(issuer: FakeIssuer) -> dict[str, str]:
    return issuer.as_("customer", sub=ME)


@pytest.fixture
def staff(issuer: FakeIssuer) -> dict[str, str]:
    return issuer.as_("staff", sub="clerk")


async def place(client: httpx.AsyncClient, headers: dict[str, str], customer_id: str = ME) -> dict[str, Any]:
    answer = await client.post("/orders", json=order_body(customer_id=customer_id), headers=headers)
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    return order


async def test_each_route_lets_in_whom_the_documents_name(
    client: httpx.AsyncClient, secured: ModuleType, issuer: FakeIssuer
) -> None:
    assert await who_gets_in(client, secured, issuer) == documented(ROOT / "docs" / "security.md", "/orders")


@pytest.mark.parametrize("role", ["staff", "service"])
async def test_a_customer_orders_for_itself_and_only_staff_and_services_for_others(
    client: httpx.AsyncClient, units: OrderUnits, issuer: FakeIssuer, me: dict[str, str], role: str
) -> None:
    await place(client, me)
    await place(client, issuer.as_(role), STRANGER)
    refused = await client.post("/orders", json=order_body(customer_id=STRANGER), headers=me)
    assert_problem(refused, 403, "forbidden")
    nobody = await client.post(
        "/orders", json=order_body(customer_id=ME), headers=issuer.as_("customer", sub="no-uuid")
    )
    assert_problem(nobody, 403, "forbidden")
    assert len(units.kept(ORDERS)) == 2


@pytest.mark.parametrize("way", ["", "/timeline"])
async def test_an_order_is_shown_to_its_customer_to_whoever_placed_it_and_to_those_who_see_all(
    client: httpx.AsyncClient, issuer: FakeIssuer, me: dict[str, str], way: str
) -> None:
    shop = issuer.as_("service", sub="web-shop")
    path = f"/orders/{(await place(client, shop))['id']}{way}"
    for headers in (me, shop, issuer.as_("staff"), issuer.as_("auditor")):
        assert (await client.get(path, headers=headers)).status_code == 200
    strangers = [
        issuer.as_("customer", sub=STRANGER),
        issuer.as_("customer", sub="web-shop"),
        issuer.as_("customer", "service", sub=STRANGER),
        issuer.as_("service", sub="another-shop"),
        issuer.as_("service", sub=ME),
    ]
    missing = await client.get(f"/orders/{uuid4()}{way}", headers=me)
    for headers in strangers:
        answer = await client.get(path, headers=headers)
        problem = assert_problem(answer, 404, "order-not-found")
        assert problem["detail"] == missing.json()["detail"], "nothing shows that the order exists"


async def test_a_customer_sees_only_its_own_list(
    client: httpx.AsyncClient, issuer: FakeIssuer, me: dict[str, str]
) -> None:
    order = await place(client, me)
    for headers in (me, issuer.as_("staff"), issuer.as_("auditor")):
        listed = (await client.get(f"/orders/customer/{ME}", headers=headers)).json()
        assert [one["id"] for one in listed] == [order["id"]]
    assert_problem(await client.get(f"/orders/customer/{STRANGER}", headers=me), 404, "order-not-found")


async def test_an_order_is_cancelled_by_its_customer_or_by_staff_and_the_timeline_says_by_whom(
    client: httpx.AsyncClient, issuer: FakeIssuer, me: dict[str, str], staff: dict[str, str]
) -> None:
    stranger = issuer.as_("customer", sub=STRANGER)
    for headers, sub, reason in ((me, ME, "cancelled-by-customer"), (staff, "clerk", "cancelled-by-staff")):
        path = f"/orders/{(await place(client, me))['id']}"
        assert_problem(await client.delete(path, headers=stranger), 404, "order-not-found")
        assert (await client.delete(path, headers=headers)).json()["reason"] == reason
        for reader in (staff, issuer.as_("auditor")):
            shown = (await client.get(f"{path}/timeline", headers=reader)).json()
            assert [entry["by"] for entry in shown] == [f"{ISSUER} {ME}", f"{ISSUER} {sub}"]
        assert all("by" not in entry for entry in (await client.get(f"{path}/timeline", headers=me)).json())


@pytest.mark.parametrize("roles", [["customer", "auditor"], ["customer", "service"]])
async def test_who_may_see_an_order_may_not_yet_cancel_it(
    client: httpx.AsyncClient, issuer: FakeIssuer, roles: list[str]
) -> None:
    watcher = issuer.as_(*roles, sub=STRANGER)
    path = f"/orders/{(await place(client, issuer.as_('service', sub=STRANGER)))['id']}"
    assert (await client.get(path, headers=watcher)).status_code == 200
    assert_problem(await client.delete(path, headers=watcher), 404, "order-not-found")


async def test_a_key_of_a_customer_is_the_customer_s_and_that_of_staff_and_services_their_own(
    client: httpx.AsyncClient, units: OrderUnits, issuer: FakeIssuer, me: dict[str, str]
) -> None:
    body, key = order_body(customer_id=ME), {"idempotency-key": "cart-1"}
    callers = [me, issuer.as_("staff", sub="a"), issuer.as_("staff", sub="b"), issuer.as_("service", sub="a", azp="x")]
    first = [(await client.post("/orders", json=body, headers=key | headers)).json()["id"] for headers in callers]
    again = [(await client.post("/orders", json=body, headers=key | headers)).json()["id"] for headers in callers]
    assert first == again
    assert first[1] == first[3], "the same issuer and subject"
    assert len(set(first)) == 3
    assert {owner for owner, _ in units.server.keys} == {ME, f"{ISSUER} a", f"{ISSUER} b"}
