"""Who may call which route, where callers are checked."""

from uuid import UUID

from chassis.testing.access import FakeIssuer, documented, load_in_production, who_gets_in
from chassis.testing.running import client_of

from tests.contracts import ROOT
from tests.inventory import Inventory

PRODUCT = UUID(int=1)


async def test_each_route_lets_in_whom_the_documents_name() -> None:
    issuer = FakeIssuer()
    main = load_in_production(ROOT / "inventory-service", issuer)
    async with client_of(main) as client:
        assert await who_gets_in(client, main, issuer) == documented(ROOT / "docs" / "security.md", "/inventory")


async def test_a_key_is_its_caller_s_and_another_s_same_key_is_another(inventory: Inventory) -> None:
    issuer = FakeIssuer()
    main = load_in_production(ROOT / "inventory-service", issuer)
    inventory.replace_servers_of(main.service)
    await inventory.stock(PRODUCT, 0)
    async with client_of(main) as client:
        for somebody, quantity in (("one", 1), ("another", 2), ("one", 1)):
            headers = issuer.as_("staff", sub=somebody) | {"idempotency-key": "delivery-7"}
            answer = await client.post(f"/inventory/{PRODUCT}/changes", json={"difference": 1}, headers=headers)
            assert answer.json()["quantity_available"] == quantity
    assert inventory.quantities(PRODUCT) == (2, 0)
