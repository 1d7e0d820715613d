"""A certified OpenID Connect provider (npm's oidc-provider) issues what the services understand."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from chassis.http.tokens import InvalidToken, Issuer
from chassis.ports.identity import Principal, Trust

from node import node_with

FOLDER = Path(__file__).parent / "certified"
STARTED_WITHIN_SECONDS = 60


@pytest.fixture(scope="module")
def node() -> str:
    return node_with(FOLDER)


@asynccontextmanager
async def certified(node: str, page: str) -> AsyncIterator[str]:
    """Its URL. People sign in there for the page of that address."""
    process = await asyncio.create_subprocess_exec(
        node, "issuer.mjs", page, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(STARTED_WITHIN_SECONDS):
            while not (line := (await process.stdout.readline()).decode().strip()).startswith("http"):
                assert process.returncode is None
        yield line
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.fixture
async def url(node: str) -> AsyncIterator[str]:
    async with certified(node, "https://page.example/") as found:
        yield found


def believing(url: str, audience: str) -> Issuer:
    """On loopback there is no TLS, which is believed only where that is said aloud."""
    trust = Trust(oidc_issuer=url, oidc_audience=audience, allow_development_issuer=True)
    return Issuer(trust, httpx.AsyncClient)


async def test_its_tokens_are_believed_and_a_changed_one_is_not(url: str) -> None:
    async with httpx.AsyncClient(auth=("web-shop", "a secret of the test")) as client:
        asked = {"grant_type": "client_credentials"}
        token = (await client.post(f"{url}/token", data=asked)).raise_for_status().json()["access_token"]
    issuer = believing(url, "urn:order-processing")

    assert await issuer.verified(token) == Principal(url, "web-shop", frozenset({"service"}))
    header, payload, signature = token.split(".")
    with pytest.raises(InvalidToken):
        await issuer.verified(f"{header}.{payload}.{signature[::-1]}")
    with pytest.raises(InvalidToken):
        await believing(url, "another").verified(token)
