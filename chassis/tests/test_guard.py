"""What a service makes of its settings: whom it lets in, and whether its broker vouches for senders."""

import asyncio
import importlib
from functools import partial

import pytest
from chassis.http.access import LocalOnly
from chassis.http.tokens import RENEW_EVERY_SECONDS, Issuer
from chassis.ports.identity import Trust
from chassis.postgres.unit_of_work import UnitOfWork
from chassis.runtime.guard import guard_of
from chassis.runtime.jobs import Periodic
from chassis.runtime.service import Service
from chassis.runtime.settings import DatabaseSettings

service_module = importlib.import_module("chassis.runtime.service")
guard_module = importlib.import_module("chassis.runtime.guard")
SECURE = DatabaseSettings(
    _env_file=None,
    environment="production",
    database_url="postgresql://a:b@localhost:1/c?sslmode=verify-full",
    rabbitmq_url="amqps://service:b@localhost:1/",
    oidc_issuer="https://login.shop.test/",
    oidc_audience="orders",
    oidc_roles_claim="groups",
    oidc_customer_claim="shop_id",
    oidc_token_type="jwt",  # noqa: S106 (a name)
    allow_development_issuer=True,
    internal_address="127.0.0.1:9001",
)
OPEN = SECURE.model_copy(update={"environment": "development"})


async def test_production_believes_the_issuer_of_its_settings_and_renews_its_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trusted: list[Trust] = []
    renewed = asyncio.Event()

    class Watched(Issuer):
        def __init__(self, trust: Trust, client: partial[object]) -> None:
            trusted.append(trust)
            super().__init__(trust, client)  # type: ignore[arg-type]

        async def renew(self) -> None:
            renewed.set()

    monkeypatch.setattr(guard_module, "Issuer", Watched)
    guard = guard_of(SECURE)
    assert trusted == [SECURE]
    assert SECURE.discovery_url == "https://login.shop.test/.well-known/openid-configuration"
    assert guard.internal_address == "127.0.0.1:9001"
    assert set(guard.checks) == {"issuer"}
    assert not guard.development
    assert await guard.checks["issuer"]() is not None
    [renewing] = guard.parts
    assert isinstance(renewing, Periodic)
    assert renewing.every_seconds == RENEW_EVERY_SECONDS
    await renewing.act()
    assert renewed.is_set()


def test_development_watches_its_own_sockets_and_has_no_other_address() -> None:
    guard = guard_of(OPEN)
    assert [type(part) for part in guard.parts] == [LocalOnly]
    assert (guard.internal_address, dict(guard.checks), guard.development) == ("", {}, True)


@pytest.mark.parametrize(("settings", "verified"), [(SECURE, True), (OPEN, False)])
def test_in_production_the_broker_vouches_for_senders(
    settings: DatabaseSettings, verified: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module.logs, "configure", lambda *_: None)
    service = Service.connected("service", settings, schema="s", unit_of_work=UnitOfWork, consumed={})
    assert service.broker.verified is verified
    assert service.guard.internal_address == ("127.0.0.1:9001" if verified else "")
