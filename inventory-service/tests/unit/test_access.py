"""Who may call which route, where callers are checked."""

from chassis.testing.access import FakeIssuer, documented, load_in_production, who_gets_in
from chassis.testing.running import client_of

from tests.contracts import ROOT


async def test_each_route_lets_in_whom_the_documents_name() -> None:
    issuer = FakeIssuer()
    main = load_in_production(ROOT / "inventory-service", issuer)
    async with client_of(main) as client:
        assert await who_gets_in(client, main, issuer) == documented(ROOT / "docs" / "security.md", "/inventory")
