"""That the services run in the way in which the tests say they do: else production would be tested in name only."""

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from chassis.testing import eventually

from operations.addresses import ROLES, SERVICES
from system import System, management_url
from way import SECURE


async def test_the_services_say_in_which_way_they_run(system: System) -> None:
    said = {(await system.health(name))[1]["access"].partition(":")[0] for name in SERVICES}
    assert said == {"production" if SECURE else "development"}


@pytest.mark.skipif(not SECURE, reason="in production only")
async def test_callers_need_a_token_and_each_service_has_logins_of_its_own_over_tls(system: System) -> None:
    async with httpx.AsyncClient(base_url=system.urls["order-service"]) as stranger:
        assert (await stranger.get("/orders/customer/00000000-0000-4000-8000-000000000009")).status_code == 401
    connection = await asyncpg.connect(system.database_url.replace("+asyncpg", ""))
    try:
        sessions = await connection.fetch(
            "SELECT DISTINCT usename, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
            " WHERE datname = current_database() AND client_port IS NOT NULL"
        )
    finally:
        await connection.close()
    logins = {f"{role}_a" for role in ROLES.values()}
    assert {tuple(row) for row in sessions} - {("postgres", True)} == {(login, True) for login in logins}

    async def all_connected() -> bool:
        """The management API tells of connections some seconds later."""
        async with httpx.AsyncClient(base_url=management_url(), timeout=30) as management:
            found = (await management.get(f"/api/vhosts/{system.vhost}/connections")).json()
        users = {(connection.get("user"), connection.get("ssl")) for connection in found}
        return users - {("admin", True)} == {(name, True) for name in SERVICES}

    await eventually(all_connected, seconds=30)
