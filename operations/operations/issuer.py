"""Issues access tokens for development: `issuer` publishes the keys, `token` signs with the newest of them, and people
sign in for a page whose address ISSUER_REDIRECT_URIS has.

Whoever may read the keys' folder (ISSUER_KEYS), which has the password for signing in too, can have a token for any
role, and nobody else can.
"""

import argparse
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import uvicorn
from chassis.http.tokens import DEVELOPMENT_MARK
from chassis.ports.identity import ROLES
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from operations.addresses import ROOT, Refused
from operations.sign_in import SignIn

ALGORITHM = "ES256"
PORT = 8090
SIGNED_IN_SECONDS = 3600


class Keys:
    """One file for each key, the newest of which signs. A removed file withdraws its key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self) -> None:
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._keep(f"{time.time_ns()}.pem", pem)

    def password(self) -> str:
        """With which people sign in as whoever they like; drawn at its first use."""
        file = self._folder / "password"
        if not file.exists():
            self._keep(file.name, f"{secrets.token_urlsafe(32)}\n".encode())
        return file.read_text().strip()

    def _keep(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f"{uuid4().hex}.draft"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        draft.rename(self._folder / name)

    def all(self) -> dict[str, ec.EllipticCurvePrivateKey]:
        """By their ids, the oldest first; makes the first key."""
        if not (files := sorted(self._folder.glob("*.pem"))):
            self.add()
            files = sorted(self._folder.glob("*.pem"))
        found = {}
        for file in files:
            key = serialization.load_pem_private_key(file.read_bytes(), password=None)
            if isinstance(key, ec.EllipticCurvePrivateKey):
                found[_id(key)] = key
        return found

    def published(self) -> list[dict[str, Any]]:
        return [
            json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "alg": ALGORITHM, "use": "sig"}
            for kid, key in self.all().items()
        ]

    def sign(self, claims: dict[str, Any]) -> str:
        kid, key = list(self.all().items())[-1]
        return jwt.encode(claims, key, ALGORITHM, headers={"typ": "at+jwt", "kid": kid})


def _id(key: ec.EllipticCurvePrivateKey) -> str:
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()[:16]


def app(
    keys: Keys, url: str, redirect_uris: Sequence[str] = (), clock: Callable[[], float] = time.monotonic
) -> Starlette:
    """`redirect_uris`: the pages for which people may sign in; without any, nobody can."""

    def issue(role: str, sub: str) -> str:
        return token(role, sub=sub, seconds=SIGNED_IN_SECONDS)

    found = {"issuer": url, DEVELOPMENT_MARK: True}

    async def metadata(request: Request) -> JSONResponse:
        # Whoever reaches it under another name than `url`, as containers do, finds the keys there too.
        return JSONResponse(found | {"jwks_uri": f"{request.base_url}keys"})

    async def published(_: Request) -> JSONResponse:
        return JSONResponse({"keys": keys.published()})

    routes = [Route("/.well-known/openid-configuration", metadata), Route("/keys", published)]
    if not redirect_uris:
        return Starlette(routes=routes)
    sign_in = SignIn(url, redirect_uris, keys.password(), issue, clock)
    found |= sign_in.metadata
    pages = Middleware(CORSMiddleware, allow_origins=sign_in.origins)
    return Starlette(routes=[*routes, *sign_in.routes], middleware=[pages])


def keys_here() -> Keys:
    return Keys(Path(os.environ.get("ISSUER_KEYS") or ROOT / ".run" / "issuer"))


def url_here() -> str:
    return os.environ.get("OIDC_ISSUER") or f"http://localhost:{PORT}"


def redirect_uris_here() -> list[str]:
    return os.environ.get("ISSUER_REDIRECT_URIS", "").split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="where it listens (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=int(os.environ.get("ISSUER_PORT") or PORT))


def run(options: argparse.Namespace) -> int:
    served = app(keys_here(), url_here(), redirect_uris_here())
    uvicorn.run(served, host=options.host, port=options.port, access_log=False, server_header=False)
    return 0


def token(*roles: str, sub: str, seconds: int) -> str:
    """Raises Refused for a role that there is not, and for a customer who is no UUID."""
    if unknown := set(roles) - ROLES:
        raise Refused(f"There is no role {', '.join(sorted(unknown))}: there are {', '.join(sorted(ROLES))}.", 2)
    if "customer" in roles and not re.fullmatch(r"[0-9a-fA-F-]{36}", sub):
        raise Refused("A customer's SUB is its customer_id, a UUID.", 2)
    now = int(time.time())
    audience = os.environ.get("OIDC_AUDIENCE") or "order-processing"
    claims = {"iss": url_here(), "aud": audience, "sub": sub, "iat": now, "exp": now + seconds, "roles": list(roles)}
    return keys_here().sign(claims)
