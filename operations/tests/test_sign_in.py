"""Signing in at the development issuer: by the password, for the page that it has been told of, with PKCE, and once."""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
import pytest

from operations.issuer import app, keys_here
from operations.sign_in import CODE_SECONDS, REMEMBERED_SECONDS

URL, PAGE = "http://localhost:8090", "https://localhost:8443/"
VERIFIER = "a-verifier-of-forty-three-characters-or-more"
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {
    "response_type": "code",
    "client_id": "the-page",
    "redirect_uri": PAGE,
    "state": "a-state",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
EXCHANGED = {
    "grant_type": "authorization_code",
    "client_id": "the-page",
    "redirect_uri": PAGE,
    "code_verifier": VERIFIER,
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setenv("OIDC_ISSUER", URL)
    monkeypatch.setenv("ISSUER_KEYS", str(tmp_path / "keys"))
    transport = httpx.ASGITransport(app(keys_here(), URL, [PAGE], clock))
    async with httpx.AsyncClient(transport=transport, base_url=URL, follow_redirects=False) as client:
        yield client


def person(role: str = "staff", subject: str = "clerk", password: str = "") -> dict[str, str]:
    return {"role": role, "subject": subject, "password": password or keys_here().password()}


async def sign_in(browser: httpx.AsyncClient, **asked: str) -> str:
    answer = await browser.post("/authorize", params=ASKED | asked, data=person())
    return back(answer)["code"]


def back(answer: httpx.Response) -> dict[str, str]:
    """What the page is sent."""
    assert answer.status_code == 303
    place = urlsplit(answer.headers["location"])
    assert f"{place.scheme}://{place.netloc}{place.path}" == PAGE
    return {name: value for name, [value] in parse_qs(place.query).items()}


async def exchange(browser: httpx.AsyncClient, code: str, **given: str) -> httpx.Response:
    return await browser.post("/token", data=EXCHANGED | {"code": code} | given)


async def test_who_has_the_password_gets_a_token_of_its_role(browser: httpx.AsyncClient) -> None:
    form = await browser.get("/authorize", params=ASKED)
    assert (form.status_code, form.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "frame-ancestors 'none'" in form.headers["content-security-policy"]
    sent = back(await browser.post("/authorize", params=ASKED, data=person()))
    assert (sent["state"], sent["iss"]) == ("a-state", URL)
    answer = await exchange(browser, sent["code"])
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["access_token"]
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["sub"], claims["roles"]) == (URL, "clerk", ["staff"])


async def test_without_the_password_nobody_gets_in(browser: httpx.AsyncClient) -> None:
    for password in ("a-guess", keys_here().password()[:-1], "ñ"):
        answer = await browser.post("/authorize", params=ASKED, data=person(password=password))
        assert (answer.status_code, answer.headers.get("location")) == (403, None)
    assert (await browser.post("/authorize", params=ASKED, data={"role": "staff"})).status_code == 403
    assert back(await browser.get("/authorize", params=ASKED | {"prompt": "none"}))["error"] == "login_required"


async def test_what_no_service_would_believe_is_not_signed(browser: httpx.AsyncClient) -> None:
    for role, sentence in (("<king>", "There is no role &lt;king&gt;"), ("customer", "a UUID")):
        answer = await browser.post("/authorize", params=ASKED, data=person(role, "me"))
        assert answer.status_code == 400
        assert sentence in answer.text


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://evil.example/",
        "https://localhost:8443",
        "https://localhost:8443/?",
        "https://localhost:8443/evil",
        "https://localhost:8443@evil.example/",
        "https://LOCALHOST:8443/",
        "//evil.example/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_it_sends_nobody_but_to_the_page(browser: httpx.AsyncClient, method: str, uri: str) -> None:
    """Not with an error either, which would make an open redirect of it."""
    for asked in (ASKED, ASKED | {"response_type": "token"}, ASKED | {"prompt": "none"}):
        answer = await browser.request(method, "/authorize", params=asked | {"redirect_uri": uri}, data=person())
        assert (answer.status_code, answer.headers.get("location")) == (400, None)
    twice = f"/authorize?{urlencode([*ASKED.items(), ('redirect_uri', uri)])}"
    assert (await browser.request(method, twice, data=person())).status_code == 400


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_pkce_is_required(browser: httpx.AsyncClient, method: str, asked: dict[str, str], error: str) -> None:
    sent = back(await browser.request(method, "/authorize", params=ASKED | asked, data=person()))
    assert (sent["error"], sent["state"], "code" in sent) == (error, "a-state", False)


async def test_a_code_is_good_once(browser: httpx.AsyncClient) -> None:
    code = await sign_in(browser)
    assert (await exchange(browser, code)).status_code == 200
    again = await exchange(browser, code)
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    "given",
    [
        {"code_verifier": VERIFIER[::-1]},
        {"code_verifier": ""},
        {"code_verifier": CHALLENGE},
        {"client_id": "another"},
        {"redirect_uri": "https://localhost:8443/other"},
        {"code": "guessed"},
    ],
)
async def test_a_code_is_good_for_nobody_else_and_for_nothing_after_that(
    browser: httpx.AsyncClient, given: dict[str, str]
) -> None:
    code = await sign_in(browser)
    answer = await browser.post("/token", data=EXCHANGED | {"code": code} | given)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_grant"})
    assert (await exchange(browser, code)).status_code == (200 if "code" in given else 400)


async def test_a_code_is_good_for_a_minute(browser: httpx.AsyncClient, clock: Clock) -> None:
    in_time, late = await sign_in(browser), await sign_in(browser)
    clock.now += CODE_SECONDS
    assert (await exchange(browser, in_time)).status_code == 200
    clock.now += 1
    assert (await exchange(browser, late)).status_code == 400


async def test_only_codes_are_exchanged(browser: httpx.AsyncClient) -> None:
    for kind in ("password", "client_credentials", "refresh_token", ""):
        answer = await exchange(browser, await sign_in(browser), grant_type=kind)
        assert (answer.status_code, answer.json()) == (400, {"error": "unsupported_grant_type"})
    assert (await browser.get("/token")).status_code == 405


async def test_who_has_signed_in_is_known_for_a_while_when_the_page_asks_silently(
    browser: httpx.AsyncClient, clock: Clock
) -> None:
    silent = ASKED | {"prompt": "none"}
    assert back(await browser.get("/authorize", params=silent))["error"] == "login_required"
    await sign_in(browser)
    code = back(await browser.get("/authorize", params=silent))["code"]
    claims = jwt.decode((await exchange(browser, code)).json()["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["roles"]) == ("clerk", ["staff"])
    assert (await browser.get("/authorize", params=ASKED)).status_code == 200, "who is asked for is asked"
    clock.now += REMEMBERED_SECONDS + 1
    assert back(await browser.get("/authorize", params=silent))["error"] == "login_required"


async def test_its_cookie_is_for_itself_alone(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/authorize", params=ASKED, data=person())
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "path=/authorize", "samesite=lax"))


async def test_only_the_page_may_read_its_answers_from_elsewhere(browser: httpx.AsyncClient) -> None:
    for origin, allowed in (("https://localhost:8443", "https://localhost:8443"), ("https://evil.example", None)):
        for path in ("/.well-known/openid-configuration", "/token"):
            answer = await browser.request("POST" if path == "/token" else "GET", path, headers={"origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed


async def test_it_is_asked_under_its_own_name(browser: httpx.AsyncClient) -> None:
    """A page elsewhere whose name leads to this machine (DNS rebinding) would read its answers as its own."""
    answer = await browser.post("http://evil.example/authorize", params=ASKED, data=person())
    assert answer.status_code == 400


async def test_its_document_says_how(browser: httpx.AsyncClient) -> None:
    told = (await browser.get("/.well-known/openid-configuration")).json()
    assert (told["authorization_endpoint"], told["token_endpoint"]) == (f"{URL}/authorize", f"{URL}/token")
    assert told["code_challenge_methods_supported"] == ["S256"]
