"""Issues access tokens for development: `issuer` publishes the keys, `token` signs with the newest of them.

No request makes a token: whoever may read the keys' folder (ISSUER_KEYS) can make one for any role, and nobody else.
"""

import argparse
import hashlib
import json
import os
import re
import time
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
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from operations.addresses import ROOT, Refused

ALGORITHM = "ES256"
PORT = 8090


class Keys:
    """One file for each key, the newest of which signs. A removed file withdraws its key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self) -> None:
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f"{uuid4().hex}.draft"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        draft.rename(self._folder / f"{time.time_ns()}.pem")

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


def app(keys: Keys, url: str) -> Starlette:
    async def metadata(request: Request) -> JSONResponse:
        # Whoever reaches it under another name than `url`, as containers do, finds the keys there too.
        return JSONResponse({"issuer": url, "jwks_uri": f"{request.base_url}keys", DEVELOPMENT_MARK: True})

    async def published(_: Request) -> JSONResponse:
        return JSONResponse({"keys": keys.published()})

    return Starlette(routes=[Route("/.well-known/openid-configuration", metadata), Route("/keys", published)])


def keys_here() -> Keys:
    return Keys(Path(os.environ.get("ISSUER_KEYS") or ROOT / ".run" / "issuer"))


def url_here() -> str:
    return os.environ.get("OIDC_ISSUER") or f"http://localhost:{PORT}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="where it listens (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=int(os.environ.get("ISSUER_PORT") or PORT))


def run(options: argparse.Namespace) -> int:
    uvicorn.run(
        app(keys_here(), url_here()), host=options.host, port=options.port, access_log=False, server_header=False
    )
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
