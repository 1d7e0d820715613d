"""Who may call which route, where callers are checked, and whose payments they see."""

from collections.abc import AsyncIterator
from types import ModuleType
from uuid import uuid4

import httpx
import pytest
from chassis.testing.access import FakeIssuer, documented, load_in_production, who_gets_in
from chassis.testing.running import client_of

from domain.payment import Status
from infrastructure.unit_of_work import PAYMENTS
from tests.contracts import ROOT
from tests.messages import a_payment
from tests.till import Till


@pytest.fixture(scope="session")
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture(scope="session")
def secured(issuer: FakeIssuer) -> ModuleType:
    return load_in_production(ROOT / "payment-service", issuer, ALLOW_SIMULATED_GATEWAY="true")


@pytest.fixture
async def client(secured: ModuleType, till: Till) -> AsyncIterator[httpx.AsyncClient]:
    till.units.replace_servers_of(secured.service)
    async with client_of(secured) as client:
        yield client


async def test_each_route_lets_in_whom_the_documents_name(
    client: httpx.AsyncClient, secured: ModuleType, issuer: FakeIssuer
) -> None:
    assert await who_gets_in(client, secured, issuer) == documented(ROOT / "docs" / "security.md", "/payments")


async def test_a_payment_is_shown_to_its_customer_and_to_those_who_see_all(
    client: httpx.AsyncClient, till: Till, issuer: FakeIssuer
) -> None:
    payment = a_payment(Status.COMPLETED, till.units.now)
    await till.units.put(PAYMENTS, payment)
    for path in (f"/payments/{payment.id}", f"/payments/order/{payment.order_id}"):
        unknown = f"{path.rpartition('/')[0]}/{uuid4()}"
        missing = (await client.get(unknown, headers=issuer.as_("staff"))).json()["detail"]
        for headers in (
            issuer.as_("customer", sub=str(payment.customer_id)),
            issuer.as_("staff"),
            issuer.as_("auditor"),
        ):
            assert (await client.get(path, headers=headers)).status_code == 200
        for headers in (issuer.as_("customer", sub=str(uuid4())), issuer.as_("customer", sub="no-uuid")):
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, answer.json()["detail"]) == (404, missing)
