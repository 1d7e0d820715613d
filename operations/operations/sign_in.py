"""Signs people in at the development issuer: the authorization code flow with PKCE, for pages that keep no secret.

https://www.rfc-editor.org/rfc/rfc6749#section-4.1, https://www.rfc-editor.org/rfc/rfc7636 and, for what goes wrong with
them, https://www.rfc-editor.org/rfc/rfc9700.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from operations.addresses import Refused

CODE_SECONDS = 60
REMEMBERED_SECONDS = 8 * 3600
_COOKIE = "signed-in"
_CHALLENGE = r"[A-Za-z0-9_-]{43}"
# No `form-action`: browsers apply it to the redirect that follows the form too.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Development issuer</title>
<main>
<h1>Development issuer</h1>
{}
</main>
"""
_FORM = """\
<form method="post">
<p><label>Role <select name="role"><option>staff<option>auditor<option>customer<option>service</select></label>
<p><label>Subject <input name="subject" value="somebody" required></label>
<p><label>Password <input name="password" type="password" required></label>
<p>It is in the file <code>password</code> of the issuer's folder, beside the keys.
<p><button>Sign in</button>
</form>"""


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a code is good for, once."""

    token: str
    client_id: str
    redirect_uri: str
    challenge: str
    until: float


class SignIn:
    def __init__(
        self,
        url: str,
        redirect_uris: Sequence[str],
        password: str,
        issue: Callable[[str, str], str],
        clock: Callable[[], float],
    ) -> None:
        """`issue` makes a token of a role and a subject, and raises Refused for what there is not."""
        self._url = url
        self._redirect_uris = redirect_uris
        self._password = password.encode()
        self._issue = issue
        self._clock = clock
        self._grants: dict[str, _Grant] = {}
        self._remembered: dict[str, tuple[str, str, float]] = {}
        """Role and subject, and until when, by the cookie."""
        self.origins = ["{0.scheme}://{0.netloc}".format(urlsplit(uri)) for uri in redirect_uris]
        self.routes = [
            Route("/authorize", self._authorize, methods=["GET", "POST"]),
            Route("/token", self._token, methods=["POST"]),
        ]
        self.metadata = {
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": True,
        }

    async def _authorize(self, request: Request) -> Response:
        if request.url.netloc != urlsplit(self._url).netloc:  # DNS rebinding
            return _page(f"<p>Ask for it at {escape(self._url)}.", 400)
        asked = request.query_params
        if asked.get("redirect_uri") not in self._redirect_uris:
            return _page("<p>This redirect_uri is none of those that the issuer has been told.", 400)
        if asked.get("response_type") != "code":
            return self._back(asked, error="unsupported_response_type")
        if asked.get("code_challenge_method") != "S256" or not re.fullmatch(
            _CHALLENGE, asked.get("code_challenge", "")
        ):
            return self._back(asked, error="invalid_request", error_description="PKCE with S256 is required.")
        if request.method == "POST":
            return await self._signed_in(request)
        if asked.get("prompt") != "none":
            return _page(_FORM)
        known = self._remembered.get(request.cookies.get(_COOKIE, ""))
        if known is None or self._clock() > known[2]:
            return self._back(asked, error="login_required")
        return self._back(asked, code=self._code(asked, self._issue(*known[:2])))

    async def _signed_in(self, request: Request) -> Response:
        form = await _form(request)
        if not hmac.compare_digest(form.get("password", "").encode(), self._password):
            return _page(f"<p role=alert>That is not the password.\n{_FORM}", 403)
        role, subject = form.get("role", ""), form.get("subject", "")
        try:
            token = self._issue(role, subject)
        except Refused as refusal:
            return _page(f"<p role=alert>{escape(str(refusal))}\n{_FORM}", 400)
        cookie = secrets.token_urlsafe(32)
        self._remembered[cookie] = role, subject, self._clock() + REMEMBERED_SECONDS
        answer = self._back(request.query_params, code=self._code(request.query_params, token))
        # Cookies know no ports: by its path it is sent to nobody else on this machine.
        answer.set_cookie(_COOKIE, cookie, REMEMBERED_SECONDS, path="/authorize", httponly=True, samesite="lax")
        return answer

    def _code(self, asked: Mapping[str, str], token: str) -> str:
        now, code = self._clock(), secrets.token_urlsafe(32)
        self._grants = {known: grant for known, grant in self._grants.items() if grant.until > now}
        self._grants[code] = _Grant(
            token, asked.get("client_id", ""), asked["redirect_uri"], asked["code_challenge"], now + CODE_SECONDS
        )
        return code

    def _back(self, asked: Mapping[str, str], **answer: str) -> Response:
        """To the page, whose address has been checked."""
        given = answer | {"iss": self._url} | ({"state": asked["state"]} if "state" in asked else {})
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(given)}", 303, _HEADERS)

    async def _token(self, request: Request) -> Response:
        form = await _form(request)
        if form.get("grant_type") != "authorization_code":
            return JSONResponse({"error": "unsupported_grant_type"}, 400, _HEADERS)
        grant = self._grants.pop(form.get("code", ""), None)
        challenge = urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if (
            grant is None
            or self._clock() > grant.until
            or (form.get("client_id"), form.get("redirect_uri")) != (grant.client_id, grant.redirect_uri)
            or not hmac.compare_digest(challenge, grant.challenge.encode())
        ):
            return JSONResponse({"error": "invalid_grant"}, 400, _HEADERS)
        return JSONResponse({"access_token": grant.token, "token_type": "Bearer"}, headers=_HEADERS)


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode(errors="replace")))


def _page(content: str, status: int = 200) -> Response:
    return HTMLResponse(_PAGE.format(content), status, _HEADERS)
