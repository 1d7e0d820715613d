"""The development issuer: services believe its tokens where that was said aloud, and no request makes one."""

import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from chassis.http.tokens import InvalidToken, Issuer
from chassis.ports.errors import Unavailable
from chassis.ports.identity import Trust

from operations.__main__ import main
from operations.issuer import Keys, app, keys_here, url_here
from operations.tokens import client

CUSTOMER = "5d0f4a1c-94ab-4b3c-8a38-7f1f2f0d9e11"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("OIDC_ISSUER", "OIDC_AUDIENCE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ISSUER_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def believing(clock: Clock, *, aloud: bool = True) -> Issuer:
    url = url_here()
    trust = Trust(oidc_issuer=url, oidc_audience="order-processing", allow_development_issuer=aloud)
    return Issuer(trust, lambda: httpx.AsyncClient(transport=httpx.ASGITransport(app(keys_here(), url))), clock)


def withdraw_the_oldest(folder: Path) -> None:
    min(folder.glob("*.pem")).unlink()


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["token", *arguments]) == 0
    return capsys.readouterr().out.split()[-1]  # what was logged before is there too


async def test_a_service_believes_its_tokens_only_where_that_was_said_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    token = printed(capsys, "customer", "--sub", CUSTOMER)
    principal = await believing(Clock()).verified(token)
    assert principal.roles == frozenset({"customer"})
    assert str(principal.customer_id) == CUSTOMER
    with pytest.raises(Unavailable):
        await believing(Clock(), aloud=False).verified(token)


async def test_a_new_key_signs_at_once_and_an_old_one_is_good_until_its_file_is_gone(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    issuer = believing(Clock())
    old = printed(capsys, "staff")
    await issuer.verified(old)
    new = printed(capsys, "staff", "--new-key")
    for token in (old, new):
        assert "staff" in (await issuer.verified(token)).roles
    await asyncio.to_thread(withdraw_the_oldest, folder)
    await issuer.renew()
    await issuer.verified(new)
    with pytest.raises(InvalidToken):
        await issuer.verified(old)


def test_nobody_else_may_read_the_keys(folder: Path) -> None:
    Keys(folder).add()
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_it_publishes_nothing_secret_and_nothing_else() -> None:
    transport = httpx.ASGITransport(app(keys_here(), "http://issuer"))
    async with httpx.AsyncClient(transport=transport, base_url="http://issuer") as client:
        [key] = (await client.get("/keys")).json()["keys"]
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
        for path in ("/token", "/", "/keys/1"):
            assert (await client.post(path)).status_code == 404


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["king"], "There is no role king: there are auditor, customer, service, staff."),
        (["customer"], "A customer's SUB is its customer_id, a UUID."),
    ],
)
def test_what_no_service_would_believe_is_not_signed(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", *arguments]) == 2
    said: Mapping[str, str] = capsys.readouterr()._asdict()
    assert said == {"out": "", "err": f"{sentence}\n"}


async def test_the_tool_asks_as_staff_in_production_and_as_nobody_in_development(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    assert "Authorization" not in client().headers
    monkeypatch.setenv("ENVIRONMENT", "production")
    principal = await believing(Clock()).verified(client().headers["Authorization"].removeprefix("Bearer "))
    assert (principal.subject, [*principal.roles]) == ("operations", ["staff"])


async def test_its_keys_are_found_under_the_name_by_which_it_was_asked() -> None:
    """Containers reach it as `issuer`, everybody else as `localhost`, which stands in the tokens."""
    transport = httpx.ASGITransport(app(keys_here(), "http://localhost:8090"))
    async with httpx.AsyncClient(transport=transport, base_url="http://issuer:8090") as client:
        found = (await client.get("/.well-known/openid-configuration")).json()
    assert (found["issuer"], found["jwks_uri"]) == ("http://localhost:8090", "http://issuer:8090/keys")
