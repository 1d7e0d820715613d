"""Who gets in: an issuer in the test's own process, a service that believes it, and the table of docs/security.md."""

import json
import re
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from chassis.http.access import Guard
from chassis.http.tokens import Issuer
from chassis.ports.identity import ROLES, UNCHECKED, Principal, Role
from chassis.testing.running import NOWHERE, load_main
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jwt.algorithms import get_default_algorithms
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

ISSUER, AUDIENCE = "https://issuer.test", "order-processing"
DISCOVERY_URL = f"{ISSUER}/.well-known/openid-configuration"


async def _everybody(scope: Scope, routes: Sequence[BaseRoute]) -> Principal:
    return UNCHECKED


OPEN = Guard("a test: nobody is checked", _everybody)


def public_jwk(key: PrivateKeyTypes, kid: str, algorithm: str = "ES256") -> dict[str, Any]:
    public: dict[str, Any] = json.loads(get_default_algorithms()[algorithm].to_jwk(key.public_key()))
    return public | {"kid": kid, "alg": algorithm, "use": "sig"}


class FakeIssuer:
    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.keys = [public_jwk(self.key, "first")]
        self.metadata: dict[str, Any] = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}
        self.asked: list[str] = []
        self.away = False

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.away:
            raise httpx.ConnectError("away")
        documents = {"/.well-known/openid-configuration": self.metadata, "/keys": {"keys": self.keys}}
        return httpx.Response(200, json=documents[request.url.path])

    def token(
        self,
        *roles: str,
        sub: str = "somebody",
        key: Any = None,
        algorithm: str = "ES256",
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A good token, but for what is given otherwise; a claim or a header that is None is left out."""
        now = int(time.time())
        given = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": sub,
            "iat": now,
            "exp": now + 600,
            "roles": list(roles),
        } | claims
        header = {"typ": "at+jwt", "kid": "first"} | (headers or {})
        return jwt.encode(
            {name: value for name, value in given.items() if value is not None},
            self.key if key is None else key,
            algorithm,
            headers={name: value for name, value in header.items() if value is not None},
        )

    def as_(self, *roles: str, **claims: Any) -> dict[str, str]:
        """The header of a request by somebody with these roles."""
        return {"authorization": f"Bearer {self.token(*roles, **claims)}"}


def load_in_production(folder: Path, issuer: FakeIssuer, **environment: str) -> ModuleType:
    """main.py, run anew, whose service believes this issuer; without servers, unless they are given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chassis.runtime.guard.Issuer", lambda trust, _: Issuer(trust, issuer.client))
        given = {
            "ENVIRONMENT": "production",
            "OIDC_ISSUER": ISSUER,
            "OIDC_AUDIENCE": AUDIENCE,
            "INTERNAL_ADDRESS": "127.0.0.1:0",
            "ALLOW_PLAIN_HTTP": "true",
            "DATABASE_URL": f"postgresql://orders:a-secret@{NOWHERE}/none?sslmode=verify-full",
            "RABBITMQ_URL": f"amqps://orders:a-secret@{NOWHERE}/",
        }
        return load_main(folder, **given | environment)


Policy = Mapping[str, frozenset[Role]]
"""Who may call each route, which is named as `GET /orders/{order_id}`."""


async def who_gets_in(
    client: httpx.AsyncClient, main: ModuleType, issuer: FakeIssuer, anybody: Collection[str] = ()
) -> Policy:
    """Tries every role on every route of the service but those that `anybody` names; without a token, and without a
    role, nobody may get in."""
    found: dict[str, frozenset[Role]] = {}
    for route in main.app.routes:
        assert isinstance(route, Route), f"{route} is served, and nothing is known of it"
        if re.sub(r":\w+}", "}", route.path) in anybody:
            continue
        for method in sorted(route.methods or ()):
            path = re.sub(r"\{\w+\}", str(uuid4()), route.path)
            answers = {
                role: (await client.request(method, path, headers=issuer.as_(*filter(None, [role])))).status_code
                for role in ("", *ROLES)
            }
            unknown = await client.request(method, path)
            assert unknown.status_code == 401, f"{method} {route.path} answers a stranger {unknown.status_code}"
            assert unknown.headers["www-authenticate"] == "Bearer"
            assert answers.pop("") == 403, f"{method} {route.path} is for whoever has a token"
            found[f"{method} {route.path}"] = frozenset(role for role in ROLES if answers[role] != 403)
    return found


def documented(document: Path, prefix: str) -> Policy:
    """The rows of docs/security.md for routes under the prefix: a cell says what the role may, or is `-`."""
    rows = [line.strip(" |\n").split("|") for line in document.read_text().splitlines() if line.startswith("| `")]
    header = [cell.strip() for cell in re.search(r"^\| route \|(.*)\|$", document.read_text(), re.M)[1].split("|")]  # type: ignore[index]
    return {
        route: frozenset(role for role in ROLES if cells[header.index(role)].strip() != "-")
        for first, *cells in rows
        if (route := first.strip(" `")).split(" ", 1)[-1].startswith(prefix)
    }
