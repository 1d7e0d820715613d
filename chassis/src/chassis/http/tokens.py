"""Access tokens: JWTs (RFC 9068) of one OpenID Connect issuer, verified with the keys that it publishes.

https://www.rfc-editor.org/rfc/rfc8725 lists what goes wrong with JWTs; system-tests/attacks/ tries it.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import httpx
import jwt
import structlog
from chassis.ports.errors import Unavailable, reason_of
from chassis.ports.identity import ROLES, Principal, Trust

RENEW_EVERY_SECONDS = 300.0
"""How long a key that its issuer has withdrawn may still be believed, if the issuer answers."""
KEYS_KEPT_SECONDS = 24 * 3600.0
"""How long keys are believed while the issuer is away."""
ASK_AT_MOST_EVERY_SECONDS = 30.0
"""For unknown keys, after the issuer didn't have one. A key that it has just begun to use is found at once."""
MAX_WAITING = 20
"""Requests that wait for the answer about an unknown key; more are refused at once while other keys are known."""
REMEMBERED_SECONDS = 300.0
MAX_REMEMBERED = 10_000
MAX_TOKEN_CHARACTERS = 8_192
MAX_DOCUMENT_BYTES = 256 * 1024
LEEWAY_SECONDS = 10
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA"}
)
"""Asymmetric, all of them: with a symmetric one, whoever verifies could sign."""
DEVELOPMENT_MARK = "development_issuer"
"""In the discovery document of the issuer that gives a token to whoever asks."""

log = structlog.get_logger()


class InvalidToken(Exception):
    """The message is for the caller, and has nothing of the token."""


class Issuer:
    def __init__(
        self, trust: Trust, client: Callable[[], httpx.AsyncClient], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._trust = trust
        self._client = client
        self._clock = clock
        self._decoder = jwt.PyJWT({"enforce_minimum_key_length": True})
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._in_vain_at = float("-inf")
        self._asking = asyncio.Lock()
        self._waiting = 0
        self._remembered: dict[bytes, tuple[float, Principal]] = {}

    async def problem(self) -> str | None:
        return None if self._has_keys() else f"no keys of {self._trust.oidc_issuer}; the log says why"

    async def verified(self, token: str) -> Principal:
        """The token's owner, remembered by the token's digest until it expires, but no longer than REMEMBERED_SECONDS.
        Raises InvalidToken, or Unavailable if nobody can say."""
        digest = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        now = self._clock()
        known = self._remembered.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        claims = self._decode(token, await self._key_of(token))
        principal = self._principal(claims)
        log.info("token verified", caller=principal.name, roles=sorted(principal.roles))
        left = min(int(claims["exp"]) - time.time(), REMEMBERED_SECONDS)
        while len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[digest] = (now + left, principal)
        return principal

    async def renew(self) -> None:
        """Asks for the keys, and keeps those that it has if there is no good answer."""
        async with self._asking:
            await self._renew()

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(10), self._client() as client:
                told = await _document(client, self._trust.discovery_url)
                if told.get("issuer") != self._trust.oidc_issuer:
                    raise ValueError(f"the document is that of {told.get('issuer')!r}")
                if told.get(DEVELOPMENT_MARK) and not self._trust.allow_development_issuer:
                    raise ValueError("this issuer is for development: ALLOW_DEVELOPMENT_ISSUER=true believes it")
                keys_at = str(told["jwks_uri"])
                if not (keys_at.startswith("https://") or self._trust.allow_development_issuer):
                    raise ValueError(f"its keys are at {keys_at}, where anybody on the way could change them")
                keys = _usable(await _document(client, keys_at))
        except Exception as error:
            log.warning("keys not renewed", issuer=self._trust.oidc_issuer, reason=reason_of(error))
            return
        if keys.keys() != self._keys.keys():
            self._remembered.clear()
        self._keys, self._fetched_at = keys, self._clock()

    def _has_keys(self) -> bool:
        return bool(self._keys) and self._clock() - self._fetched_at < KEYS_KEPT_SECONDS

    def _knows(self, kid: str) -> bool:
        return kid in self._keys and self._has_keys()

    async def _key_of(self, token: str) -> jwt.PyJWK:
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise InvalidToken("The token is too long.")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError):
            raise InvalidToken("The token is no JWT.") from None
        if str(header.get("typ", "")).lower().removeprefix("application/") != self._trust.oidc_token_type.lower():
            raise InvalidToken("The token is no access token.")
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise InvalidToken("The token doesn't say which key signed it.")
        if not self._knows(kid):
            await self._ask_again(kid)
        if not self._has_keys():
            raise Unavailable("the issuer's keys are not known")
        if (key := self._keys.get(kid)) is None:
            raise InvalidToken("The token is signed with a key that its issuer doesn't have.")
        return key

    async def _ask_again(self, kid: str) -> None:
        if self._waiting >= MAX_WAITING and self._has_keys():
            return  # strangers may not fill this instance with requests that wait for an issuer that hangs
        self._waiting += 1
        try:
            async with self._asking:
                if self._knows(kid) or self._clock() - self._in_vain_at < ASK_AT_MOST_EVERY_SECONDS:
                    return
                await self._renew()
                if not self._knows(kid):
                    self._in_vain_at = self._clock()
        finally:
            self._waiting -= 1

    def _decode(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = self._decoder.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._trust.oidc_audience,
                issuer=self._trust.oidc_issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise InvalidToken("The token has expired.") from None
        except jwt.InvalidAudienceError:
            raise InvalidToken("The token is for somebody else.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise InvalidToken("The token is not valid.") from None
        return claims

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        given = _claim(claims, self._trust.oidc_roles_claim)
        words = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
        roles = frozenset(role for role in ROLES if role in words)
        return Principal(claims["iss"], claims["sub"], roles, _uuid(_claim(claims, self._trust.oidc_customer_claim)))


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """By its name, or by the way to it: realm_access.roles."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


async def _document(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    body = bytearray()
    async with client.stream("GET", url) as answer:
        answer.raise_for_status()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                raise ValueError(f"{url} has more than {MAX_DOCUMENT_BYTES} bytes")
    document = httpx.Response(200, content=bytes(body)).json()
    if not isinstance(document, dict):
        raise ValueError(f"{url} is no JSON object")
    return document


def _usable(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """The keys that may sign access tokens, by their ids; each is for one algorithm. Raises ValueError without any."""
    keys: dict[str, jwt.PyJWK] = {}
    for data in document.get("keys", ()):
        try:
            key = jwt.PyJWK(data)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            continue  # of a kind that nobody here knows
        if key.algorithm_name in ALGORITHMS and key.key_id and data.get("use", "sig") == "sig":
            keys[key.key_id] = key
    if not keys:
        raise ValueError("the issuer has no key that may sign")
    return keys
