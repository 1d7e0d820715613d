"""Who may call which route, where callers are checked, and whose notifications they see."""

from uuid import uuid4

from chassis.testing.access import FakeIssuer, documented, load_in_production, who_gets_in
from chassis.testing.running import client_of

from tests.contracts import ROOT


async def test_each_route_lets_in_whom_the_documents_name() -> None:
    issuer = FakeIssuer()
    main = load_in_production(ROOT / "notification-service", issuer)
    async with client_of(main) as client:
        assert await who_gets_in(client, main, issuer) == documented(ROOT / "docs" / "security.md", "/notifications")


async def test_customers_see_what_they_were_told_and_staff_and_auditors_see_all() -> None:
    issuer, me, other = FakeIssuer(), str(uuid4()), str(uuid4())
    async with client_of(load_in_production(ROOT / "notification-service", issuer)) as client:
        for customer in (me, other):
            body = {"customer_id": customer, "subject": "Your parcel", "message": "It arrives tomorrow."}
            assert (await client.post("/notifications", json=body, headers=issuer.as_("staff"))).status_code == 201

        async def seen(*roles: str, of: str | None = None, **claims: str) -> list[str] | int:
            asked = {} if of is None else {"customer_id": of}
            answer = await client.get("/notifications", params=asked, headers=issuer.as_(*roles, **claims))
            return [one["customer_id"] for one in answer.json()] if answer.status_code == 200 else answer.status_code

        for role in ("staff", "auditor"):
            assert await seen(role) == [other, me]
            assert await seen(role, of=me) == [me]
        assert await seen("customer", sub=me) == [me]
        assert await seen("customer", sub=me, of=me) == [me]
        assert await seen("customer", sub=me, of=other) == 404
        assert await seen("customer", sub="no-uuid") == 404


def test_in_production_the_broker_vouches_for_senders() -> None:
    assert load_in_production(ROOT / "notification-service", FakeIssuer()).broker.verified
