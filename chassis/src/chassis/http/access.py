"""Who may call which route. Every route names the roles that it allows, and one gate before all routes asks.

The gate is around the router, because a dependency of FastAPI's doesn't guard a route that is appended to the router or
that calls its endpoint by itself (requests.BareRoute).
"""

import asyncio
import math
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import structlog
from chassis.http.allowance import Allowance
from chassis.http.health import Check
from chassis.http.problems import Problem
from chassis.http.tokens import InvalidToken, Issuer
from chassis.ports.addresses import address_in, is_loopback
from chassis.ports.identity import UNCHECKED, Principal, Role
from chassis.ports.tracing import trace_id
from fastapi import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

LISTENS_WITHIN_SECONDS = 30.0

log = structlog.get_logger()

_NOBODY = Principal("nobody", "", frozenset())
_CUSTOMER: frozenset[Role] = frozenset({"customer"})

E = TypeVar("E", bound=Callable[..., Any])


def allows(*roles: Role | Literal["anybody"]) -> Callable[[E], E]:
    """Declares who may call the endpoint; in production an endpoint without it can't be served. `anybody` needs no
    token: for what is no secret, such as a page's files."""

    def declare(endpoint: E) -> E:
        cast(Any, endpoint).allows = frozenset(roles)
        return endpoint

    return declare


def allowed(route: BaseRoute) -> frozenset[str]:
    """Those who may call the route: nobody, unless it says so."""
    return cast(frozenset[str], getattr(getattr(route, "endpoint", None), "allows", frozenset()))


def caller(request: Request) -> Principal:
    return cast(Principal, request.state.caller)


class Part(Protocol):
    """Starts and stops with the application: a pool, a connection, a consumer, a periodic job."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


Admit = Callable[[Scope, Sequence[BaseRoute]], Awaitable[Principal]]
"""What every request passes before its route is called. Raises a Problem for a caller who may not."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Who is let in, and where."""

    summary: str
    """Who is checked, for the log and /health."""
    admit: Admit
    parts: Sequence[Part] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)
    """What must be well to check anybody."""
    internal_address: str = ""
    """host:port at which health and metrics are served, and nowhere else; empty: where all else is."""
    development: bool = False
    """Whether routes are served that break things."""


class Gate:
    def __init__(self, router: ASGIApp, routes: Sequence[BaseRoute], admit: Admit) -> None:
        self._router, self._routes, self._admit = router, routes, admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["caller"] = await self._admit(scope, self._routes)
        await self._router(scope, receive, send)


class TokensRequired:
    """Production: each route is for the roles that it names, and for nobody if it names none."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._allowance = Allowance()

    async def admit(self, scope: Scope, routes: Sequence[BaseRoute]) -> Principal:
        route = next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)
        if route is None or "anybody" in allowed(route):
            return _NOBODY  # there is nothing to guard: without a route the router answers 404 or 405
        who: str | None = None
        try:
            principal = await self._principal(scope)
            who = principal.name
            self._check(principal, route)
        except Problem as refusal:
            log.warning(
                "caller refused",
                caller=who,
                reason=refusal.detail,
                method=scope["method"],
                route=getattr(route, "path", ""),  # not the path, which may be long: a flood would wash the log away
                trace_id=trace_id(scope["state"]["traceparent"]),
            )
            raise
        return principal

    def _check(self, principal: Principal, route: BaseRoute) -> None:
        if principal.roles.isdisjoint(allowed(route)):
            raise Problem(403, "forbidden", "None of your roles may do this; docs/security.md lists who may.")
        if principal.roles == _CUSTOMER and (wait := self._allowance.take(principal.subject)):
            detail = "You send more requests than one customer may. Try again later."
            raise Problem(429, "too-many-requests", detail, headers={"Retry-After": str(math.ceil(wait))})

    async def _principal(self, scope: Scope) -> Principal:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            raise _unauthenticated("Send an access token: Authorization: Bearer <token>.")
        scheme, _, token = given[0].decode("latin-1").partition(" ")
        if len(given) > 1 or scheme.lower() != "bearer" or not token:
            raise _unauthenticated("There must be one Authorization header: Bearer <token>.", "invalid_request")
        try:
            return await self._issuer.verified(token.strip())
        except InvalidToken as error:
            raise _unauthenticated(str(error), "invalid_token") from None


def _unauthenticated(detail: str, error: str | None = None) -> Problem:
    """https://www.rfc-editor.org/rfc/rfc6750#section-3"""
    challenge = "Bearer" if error is None else f'Bearer error="{error}", error_description="{detail}"'
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": challenge})


class LocalOnly:
    """Development: nobody is checked, so nobody may come from elsewhere: neither over a network, nor by a browser that
    shows a foreign page, which may reach this machine under a name of its own (DNS rebinding)."""

    def __init__(self, *, published: bool) -> None:
        """`published`: in a container, which others reach only as it is published (the settings' BIND_ADDRESS)."""
        self._published = published
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if not self._published:
            self._watching = asyncio.create_task(self._end_if_reachable(), name="listening sockets")

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def admit(self, scope: Scope, routes: Sequence[BaseRoute]) -> Principal:
        for peer in (scope.get("server"), scope.get("client")):  # the client's, as a proxy on this machine tells it
            if peer and not self._published and _is_elsewhere(peer[0]):
                raise Problem(403, "not-local", _REFUSAL)
        for name, value in scope["headers"]:
            if name == b"host" and _is_foreign(f"//{value.decode('latin-1')}"):
                raise Problem(403, "foreign-host", "In development only local names are answered: use localhost.")
            if name == b"origin" and not _is_page_of_this_machine(value.decode("latin-1")):
                raise Problem(403, "foreign-origin", "In development only pages of this machine may call.")
        return UNCHECKED

    async def _end_if_reachable(self) -> None:
        """The server opens its sockets after the application has started."""
        for _ in range(int(LISTENS_WITHIN_SECONDS / 0.05)):
            if addresses := list(listening_addresses()):
                if elsewhere := [address for address in addresses if _is_elsewhere(address)]:
                    log.error(_REFUSAL, listening=elsewhere)
                    signal.raise_signal(signal.SIGTERM)
                return
            await asyncio.sleep(0.05)


_REFUSAL = (
    "In development nobody is checked, so the service must not be reachable from elsewhere: start it with"
    " --host 127.0.0.1, or set ENVIRONMENT=production (see docs/security.md)."
)


def listening_addresses() -> Iterable[str]:
    """Of this process's own sockets, on whatever opened them."""
    for name in os.listdir("/dev/fd"):
        try:
            found = socket.socket(fileno=int(name))
        except OSError:  # it is no socket, or was closed meanwhile, as the listing's own is
            continue
        try:
            internet = found.family in (socket.AF_INET, socket.AF_INET6)
            if internet and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                yield found.getsockname()[0]
        finally:
            found.detach()


@lru_cache(maxsize=256)
def _is_elsewhere(address: str) -> bool:
    """False for a socket's path and for the name that a test gives."""
    return address_in(address) is not None and not is_loopback(address)


@lru_cache(maxsize=256)
def _is_page_of_this_machine(origin: str) -> bool:
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    return is_loopback(host) or host.endswith(".localhost")


@lru_cache(maxsize=256)
def _is_foreign(url: str) -> bool:
    """Whether a page there may be somebody else's. Nobody can register a name without a dot, nor rebind an address."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return True
    return "." in host.removesuffix(".") and not host.endswith(".localhost") and address_in(host) is None
