"""Which tokens are believed, and how the issuer's keys are had."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from chassis.http.tokens import (
    ASK_AT_MOST_EVERY_SECONDS,
    KEYS_KEPT_SECONDS,
    MAX_REMEMBERED,
    MAX_WAITING,
    REMEMBERED_SECONDS,
    InvalidToken,
    Issuer,
)
from chassis.ports.errors import Unavailable
from chassis.ports.identity import Principal, Trust
from chassis.testing.access import AUDIENCE, ISSUER, FakeIssuer, public_jwk
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

TRUST = Trust(oidc_issuer=ISSUER, oidc_audience=AUDIENCE)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def there() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture
def issuer(there: FakeIssuer, clock: Clock) -> Issuer:
    return Issuer(TRUST, there.client, clock)


async def test_a_good_token_says_who_calls(issuer: Issuer, there: FakeIssuer) -> None:
    customer = uuid4()
    assert await issuer.verified(there.token("customer", "king", sub=str(customer))) == Principal(
        ISSUER, str(customer), frozenset({"customer"}), customer
    )
    assert (await issuer.verified(there.token("staff"))).customer_id is None


@pytest.mark.parametrize(
    ("trust", "claims", "roles", "customer"),
    [
        ({"oidc_roles_claim": "realm_access.roles"}, {"realm_access": {"roles": ["auditor"]}}, {"auditor"}, None),
        (
            {"oidc_roles_claim": "https://shop/roles"},
            {"https://shop/roles": "staff customer"},
            {"staff", "customer"},
            None,
        ),
        ({"oidc_roles_claim": "realm_access.roles"}, {"realm_access": "staff"}, set(), None),
        ({}, {"roles": {"staff": True}}, set(), None),
        (
            {"oidc_customer_claim": "shop_id"},
            {"shop_id": str(UUID(int=7)), "roles": ["customer"]},
            {"customer"},
            UUID(int=7),
        ),
        ({"oidc_customer_claim": "id"}, {"id": 7}, set(), None),
    ],
)
async def test_claims_may_have_other_names(
    there: FakeIssuer, trust: dict[str, str], claims: dict[str, Any], roles: set[str], customer: UUID | None
) -> None:
    issuer = Issuer(Trust(oidc_issuer=ISSUER, oidc_audience=AUDIENCE, **trust), there.client)
    principal = await issuer.verified(there.token(**{"roles": []} | claims))
    assert set(principal.roles) == roles
    assert principal.customer_id == customer


def _unsigned(there: FakeIssuer) -> str:
    return there.token("staff", key="", algorithm="none")


def _signed_with_the_public_key(there: FakeIssuer) -> str:
    """The confusion of algorithms: an HMAC whose secret is the key that everybody knows."""
    pem = there.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header, payload, _ = there.token("staff").split(".")
    data = json.loads(base64.urlsafe_b64decode(header + "=="))
    header = base64.urlsafe_b64encode(json.dumps(data | {"alg": "HS256"}).encode()).rstrip(b"=").decode()
    signature = hmac.digest(pem, f"{header}.{payload}".encode(), "sha256")
    return f"{header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _tampered(there: FakeIssuer) -> str:
    header, _, signature = there.token("customer").split(".")
    return f"{header}.{there.token('staff').split('.')[1]}.{signature}"


STRANGER, LARGER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
NOW = int(time.time())
BAD: dict[str, Callable[[FakeIssuer], str]] = {
    "unsigned": _unsigned,
    "signed with the public key": _signed_with_the_public_key,
    "tampered": _tampered,
    "signed by a stranger": lambda it: it.token("staff", key=STRANGER),
    "brings its key": lambda it: it.token(
        "staff", key=STRANGER, headers={"kid": "mine", "jwk": public_jwk(STRANGER, "mine")}
    ),
    "says where its key is": lambda it: it.token(
        "staff", key=STRANGER, headers={"kid": "mine", "jku": "https://evil.test/keys", "x5u": "https://evil.test/x5u"}
    ),
    "with a header that must be understood": lambda it: it.token("staff", headers={"crit": ["b64"], "b64": False}),
    "of an unknown key": lambda it: it.token("staff", headers={"kid": "another"}),
    "of no key": lambda it: it.token("staff", headers={"kid": None}),
    "with another algorithm of its key": lambda it: it.token(
        "staff", algorithm="ES384", key=ec.generate_private_key(ec.SECP384R1())
    ),
    "expired": lambda it: it.token("staff", exp=NOW - 60),
    "never expiring": lambda it: it.token("staff", exp=None),
    "expiring at no time": lambda it: it.token("staff", exp="soon"),
    "not yet valid": lambda it: it.token("staff", nbf=NOW + 3600),
    "for another audience": lambda it: it.token("staff", aud="somebody-else"),
    "for nobody": lambda it: it.token("staff", aud=None),
    "of another issuer": lambda it: it.token("staff", iss="https://evil.test"),
    "of no issuer": lambda it: it.token("staff", iss=None),
    "of nobody": lambda it: it.token("staff", sub=None),  # type: ignore[arg-type]
    "an ID token": lambda it: it.token("staff", headers={"typ": "JWT"}),
    "of no type": lambda it: it.token("staff", headers={"typ": None}),
    "too long": lambda it: it.token("staff", padding="x" * 9000),
    "no JWT": lambda it: "x.y.z",
    "no text": lambda it: "\xff\x00.\xff.\xff",
    "empty": lambda it: "",
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_is_refused_without_its_content(kind: str, issuer: Issuer, there: FakeIssuer) -> None:
    await issuer.verified(there.token("staff"))
    token = BAD[kind](there)
    for _ in range(2):
        with pytest.raises(InvalidToken) as refused:
            await issuer.verified(token)
        assert not token or token not in str(refused.value)
    assert not [path for path in there.asked if "keys" not in path and "well-known" not in path]


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa.generate_private_key(65537, 2048), "RS256"),
        (rsa.generate_private_key(65537, 2048), "PS256"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_asymmetric_algorithm_is_understood(
    issuer: Issuer, there: FakeIssuer, key: Any, algorithm: str
) -> None:
    there.keys.append(public_jwk(key, "second", algorithm))
    token = there.token("staff", key=key, algorithm=algorithm, headers={"kid": "second"})
    assert (await issuer.verified(token)).roles == {"staff"}


@pytest.mark.parametrize(
    "data",
    [
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "second", "alg": "HS256"},
        public_jwk(STRANGER, "second") | {"use": "enc"},
        {"kty": "EC", "kid": "second"},
        "no key",
    ],
    ids=["a secret", "for encryption", "broken", "no key"],
)
async def test_a_key_that_can_t_sign_is_passed_over(issuer: Issuer, there: FakeIssuer, data: Any) -> None:
    there.keys.append(data)
    assert await issuer.verified(there.token("staff"))
    known = "secretsecretsecretsecretsecretsecret"
    for key, algorithm in ((known, "HS256"), (STRANGER, "ES256")):
        with pytest.raises(InvalidToken):
            await issuer.verified(there.token("staff", key=key, algorithm=algorithm, headers={"kid": "second"}))


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
async def test_a_weak_key_is_not_believed(issuer: Issuer, there: FakeIssuer) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505
    there.keys.append(public_jwk(weak, "weak", "RS256"))
    with pytest.raises(InvalidToken):
        await issuer.verified(there.token("staff", key=weak, algorithm="RS256", headers={"kid": "weak"}))


async def test_a_token_is_remembered_until_it_expires_but_not_for_long(
    issuer: Issuer, there: FakeIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, decode = [], issuer._decode

    def count(token: str, key: Any) -> Any:
        decoded.append(token)
        return decode(token, key)

    monkeypatch.setattr(issuer, "_decode", count)
    lasting, ending = there.token("staff"), there.token("staff", exp=int(time.time()) + 60)
    for seconds, verified in ((0, 2), (50, 2), (15, 3), (REMEMBERED_SECONDS - 66, 4), (2, 5)):
        clock.now += seconds
        for token in (lasting, ending):
            await issuer.verified(token)
        assert len(decoded) == verified, seconds


async def test_no_more_tokens_are_remembered_than_fit(issuer: Issuer, there: FakeIssuer) -> None:
    token = there.token("staff")
    for number in range(MAX_REMEMBERED):
        issuer._remembered[str(number).encode()] = (0.0, await issuer.verified(token))
    await issuer.verified(there.token("auditor"))
    assert len(issuer._remembered) == MAX_REMEMBERED


async def test_an_unknown_key_is_asked_for_but_seldom(issuer: Issuer, there: FakeIssuer, clock: Clock) -> None:
    await issuer.verified(there.token("staff"))
    new = ec.generate_private_key(ec.SECP256R1())
    token = there.token("staff", key=new, headers={"kid": "second"})
    for wait in (0, 0, ASK_AT_MOST_EVERY_SECONDS - 1):
        clock.now += wait
        with pytest.raises(InvalidToken):
            await issuer.verified(token)
    assert there.asked.count("/keys") == 2
    there.keys.append(public_jwk(new, "second"))
    clock.now += 1
    assert await issuer.verified(token)
    assert there.asked.count("/keys") == 3


async def test_a_key_that_the_issuer_has_just_begun_to_use_is_believed_at_once(
    issuer: Issuer, there: FakeIssuer
) -> None:
    await issuer.renew()
    for kid in ("second", "third"):
        new = ec.generate_private_key(ec.SECP256R1())
        there.keys.append(public_jwk(new, kid))
        assert await issuer.verified(there.token("staff", key=new, headers={"kid": kid}))


async def test_a_withdrawn_key_is_believed_until_the_next_renewal(issuer: Issuer, there: FakeIssuer) -> None:
    token = there.token("staff")
    await issuer.verified(token)
    there.keys = [public_jwk(STRANGER, "second")]
    assert await issuer.verified(token)
    await issuer.renew()
    with pytest.raises(InvalidToken):
        await issuer.verified(token)


async def test_the_last_good_keys_outlive_an_outage_but_not_for_ever(
    issuer: Issuer, there: FakeIssuer, clock: Clock
) -> None:
    await issuer.renew()
    there.away = True
    for wait in (KEYS_KEPT_SECONDS - 1, 0):
        clock.now += wait
        await issuer.renew()
        assert await issuer.verified(there.token("staff"))
        assert await issuer.problem() is None
    clock.now += 1
    with pytest.raises(Unavailable):
        await issuer.verified(there.token("staff", "auditor"))
    assert await issuer.problem() is not None
    there.away = False
    clock.now += ASK_AT_MOST_EVERY_SECONDS
    assert await issuer.verified(there.token("staff", "auditor"))


@pytest.mark.parametrize(
    "answer",
    [
        {"issuer": "https://evil.test", "jwks_uri": f"{ISSUER}/keys"},
        {"jwks_uri": f"{ISSUER}/keys"},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", "development_issuer": True},
        {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", "padding": "x" * 300_000},
        {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys".replace("https", "http")},
        ["no object"],
    ],
    ids=["another's", "nobody's", "without keys", "for development", "huge", "in clear", "no object"],
)
async def test_a_document_that_can_t_be_believed_gives_no_keys(issuer: Issuer, there: FakeIssuer, answer: Any) -> None:
    there.metadata = answer
    with pytest.raises(Unavailable):
        await issuer.verified(there.token("staff"))


async def test_the_development_issuer_is_believed_where_that_was_said_aloud(there: FakeIssuer) -> None:
    there.metadata["development_issuer"] = True
    issuer = Issuer(Trust(oidc_issuer=ISSUER, oidc_audience=AUDIENCE, allow_development_issuer=True), there.client)
    assert await issuer.verified(there.token("staff"))


async def test_an_issuer_without_a_key_keeps_the_keys_of_before(issuer: Issuer, there: FakeIssuer) -> None:
    await issuer.renew()
    there.keys = []
    await issuer.renew()
    assert await issuer.verified(there.token("staff"))


async def test_strangers_can_not_fill_a_service_with_requests_that_wait_for_the_issuer(
    issuer: Issuer, there: FakeIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await issuer.renew()
    clock.now += ASK_AT_MOST_EVERY_SECONDS
    answer = asyncio.Event()

    async def hang() -> None:
        await answer.wait()

    monkeypatch.setattr(issuer, "_renew", hang)
    strange = there.token("staff", key=STRANGER, headers={"kid": "strange"})
    asking = [asyncio.create_task(issuer.verified(strange)) for _ in range(MAX_WAITING + 5)]
    done, waiting = await asyncio.wait(asking, timeout=0.2)
    assert len(waiting) == MAX_WAITING
    assert all(isinstance(task.exception(), InvalidToken) for task in done)
    answer.set()
    await asyncio.wait(waiting)
    assert all(isinstance(task.exception(), InvalidToken) for task in waiting)
