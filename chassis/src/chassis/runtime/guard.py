"""Who a service with these settings lets in."""

from functools import partial

import httpx
from chassis.http.access import Guard, LocalOnly, TokensRequired
from chassis.http.tokens import RENEW_EVERY_SECONDS, Issuer, Trust
from chassis.runtime.jobs import Periodic
from chassis.runtime.settings import ServiceSettings


def guard_of(settings: ServiceSettings) -> Guard:
    if not settings.in_production:
        local = LocalOnly(published=settings.container)
        return Guard("development: nobody is checked", local.admit, parts=[local], development=True)
    found_at = settings.oidc_discovery_url or f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration"
    trust = Trust(
        settings.oidc_issuer,
        settings.oidc_audience,
        discovery_url=found_at,
        roles_claim=settings.oidc_roles_claim,
        customer_claim=settings.oidc_customer_claim,
        token_type=settings.oidc_token_type,
        development_allowed=settings.allow_development_issuer,
    )
    issuer = Issuer(trust, partial(httpx.AsyncClient, timeout=5))
    return Guard(
        "production: a token is required",
        TokensRequired(issuer).admit,
        parts=[Periodic("signing keys", RENEW_EVERY_SECONDS, issuer.renew)],
        checks={"issuer": issuer.problem},
        internal_address=settings.internal_address,
    )
