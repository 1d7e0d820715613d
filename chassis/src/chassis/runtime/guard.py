"""Who a service with these settings lets in."""

from functools import partial

import httpx
from chassis.http.access import Guard, LocalOnly, TokensRequired
from chassis.http.tokens import RENEW_EVERY_SECONDS, Issuer
from chassis.runtime.jobs import Periodic
from chassis.runtime.settings import ServiceSettings


def guard_of(settings: ServiceSettings) -> Guard:
    if not settings.in_production:
        local = LocalOnly(published=settings.container)
        return Guard("development: nobody is checked", local.admit, parts=[local], development=True)
    issuer = Issuer(settings, partial(httpx.AsyncClient, timeout=5))
    return Guard(
        "production: a token is required",
        TokensRequired(issuer).admit,
        parts=[Periodic("signing keys", RENEW_EVERY_SECONDS, issuer.renew)],
        checks={"issuer": issuer.problem},
        internal_address=settings.internal_address,
    )
