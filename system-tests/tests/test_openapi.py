"""Whatever is asked of the four services: every answer is one that their OpenAPI documents promise, and none is a 5xx.

EXAMPLES=1000 asks more (30 is usual), and each time something else; with the SEED of a failure, the same again.
"""

import asyncio
import os
import random
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from string import Template
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from operations.addresses import SERVICES
from operations.shop import Line
from shop import Shop
from system import System, fresh_system
from way import development_only

JSON = b"content-type: application/json"
ID = b"9f8c1f4e-2b4d-4a7e-9d53-6a1c0e7b1a01"
ORDER = b'{"customer_id":"%s","items":[{"product_id":"%s","quantity":1,"price":%s}]}'
# What clients in earnest don't send, and Schemathesis can't: it goes through an HTTP library that mends or refuses it.
SEGMENTS = [
    *(b"", b"%", b"%zz", b"%00", b"%ff", b"%ed%a0%80", b"%2f", b"%25", b"%0d%0a", b"..", b"\\", b"\xff", b"\xc3\xa9"),
    *(b"{" + ID + b"}", b"urn:uuid:" + ID, ID.replace(b"-", b""), ID.upper(), b"%" * 500, b"1" * 5000),
]
QUERIES = [
    *(
        b"?",
        b"?&&=",
        b"?limit",
        b"?limit=1e3",
        b"?limit=1.0",
        b"?limit=+1",
        b"?limit=1_0",
        b"?limit=%D9%A1",
        b"?limit=%ff",
    ),
    *(
        b"?limit=1&limit=x",
        b"?cursor=%00",
        b"?cursor=",
        b"?cursor=" + b"f" * 32,
        b"?cursor=%ed%a0%80",
        b"?customer_id=\xff",
    ),
]
HEADERS = [
    *(b"idempotency-key: \xff", b"idempotency-key: \xc3\xa9", b"idempotency-key:", b"idempotency-key: " + b"a" * 256),
    *(
        b"traceparent: \xff",
        b"traceparent: 00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
        b"host: \xff",
        b"cookie: \xff",
    ),
    *(b"content-type:", b"content-type: \xff", JSON + b"; charset=utf-16", b"content-encoding: gzip", b"accept: \xff"),
    *(b"expect: 100-continue", b"upgrade: websocket", b"range: bytes=5-1", b"x-http-method-override: DELETE"),
]
BODIES = [
    *(b"", b"null", b"[" * 30_000, b"\xff", b'"\\ud800"', b"\xef\xbb\xbf{}", b'{"\\u0000":1}'),
    *(ORDER % (ID, ID, price) for price in (b"19.990000000000000001", b"1e400", b"-0.0", b"9" * 5000, b'"\xd9\xa1"')),
    *(
        b'{"quantity_available":%s}' % number
        for number in (b"1.0000000000000000001", b"1e9", b"-0", b"9" * 400, b"1,1:2")
    ),
    b'{"customer_id":"%s","subject":"\\u0000","message":"\\ud83d\\ude00\\u0000"}' % ID,
]
# Nobody can guess the ETag of an item, so that nearly every answer is 412.
CONDITIONAL = """
[[operations]]
include-name = "PUT /inventory/{product_id}"
warnings = false
"""
FOLDER = Path(__file__).resolve().parents[1]
EXAMPLES = int(os.environ.get("EXAMPLES") or 30)
SEED = int(os.environ.get("SEED") or (random.randrange(2**32) if "EXAMPLES" in os.environ else 1))
HOW_MANY = ["--max-examples", str(EXAMPLES), "--seed", str(SEED), "--generation-database", "none"]
BUSY = [HealthCheck.too_slow]
"""A machine that has other things to do is no defect."""


pytestmark = development_only("production shows no OpenAPI document")


@pytest.fixture(scope="module")
async def asked(servers: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A system of its own, which is full of nonsense afterwards."""
    logs = tmp_path_factory.mktemp("logs")
    async with fresh_system(logs, PAYMENT_SUCCESS_RATE="1", LOG_LEVEL="WARNING") as running:
        yield running


@pytest.fixture(scope="module")
async def known(asked: System, client: httpx.AsyncClient) -> dict[str, str]:
    """The ids of what there is to be asked for."""
    shop = Shop(asked, client)
    product, customer = await shop.stock(1_000_000), uuid4()
    order = (await shop.place(Line(product), customer=customer))["id"]
    await shop.ended(order)
    payment = await shop.payment(order)
    assert payment is not None
    ids = {"order_id": order, "payment_id": payment["id"], "product_id": product, "customer_id": customer}
    return {name: str(value) for name, value in ids.items()}


@pytest.mark.parametrize("name", SERVICES)
async def test_every_answer_is_as_documented(name: str, asked: System, known: dict[str, str], tmp_path: Path) -> None:
    config = Template((FOLDER / "schemathesis.toml").read_text()).substitute(known)
    conditional = CONDITIONAL if name == "inventory-service" else ""
    (tmp_path / "schemathesis.toml").write_text(config + conditional)
    ask = [sys.executable, "-m", "schemathesis.cli", "run", f"{asked.urls[name]}/openapi.json", "--no-color"]

    done = await asyncio.to_thread(
        subprocess.run,
        [*ask, *HOW_MANY],
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(FOLDER / "api_checks.py")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    print(done.stdout)
    assert done.returncode == 0, done.stdout
    found = re.search(r"Tested: (\d+)\n(?:.*\n)*?.* (\d+) generated, (\d+) passed", done.stdout)
    assert found, done.stdout
    tested, generated, passed = map(int, found.groups())
    assert min(generated, passed) >= 5 * tested > 0, done.stdout


def requests(document: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Requests, byte by byte, to one service: about what it offers, each with something odd."""
    offered = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    odd = st.binary(max_size=20).map(lambda some: re.sub(rb"[\r\n ]", b"", some))

    @st.composite
    def compose(draw: st.DrawFn) -> bytes:
        method, path = draw(st.sampled_from(offered))
        method = draw(st.sampled_from([method] * 8 + ["HEAD", "OPTIONS", "TRACE", "PATCH", "PROPFIND"]))
        segment = draw(st.just(ID) | st.sampled_from(SEGMENTS) | odd)
        target = re.sub(r"\{\w+\}", "\0", path).encode().replace(b"\0", segment)
        target += draw(st.sampled_from([b""] * 6 + [b"/", b"//", b"/x", b"%"])) + draw(
            st.just(b"") | st.sampled_from(QUERIES)
        )
        body = draw(st.just(ORDER % (ID, ID, b"1")) | st.sampled_from(BODIES) | odd)
        headers = draw(st.just([JSON]) | st.lists(st.sampled_from([JSON, *HEADERS]), max_size=3))
        lines = [
            method.encode() + b" " + target + b" HTTP/1.1",
            b"connection: close",
            b"content-length: %d" % len(body),
        ]
        return b"\r\n".join([*lines, b"host: localhost", *headers, b"", body])

    return compose()


def answer_to(request: bytes, port: int) -> tuple[int, str]:
    """The status and the content type of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    content_type = re.search(r"(?i)^content-type: ([^;\r]*)", head, re.MULTILINE)
    return int(head.split(" ")[1]), content_type[1] if content_type else ""


@pytest.mark.parametrize("name", SERVICES)
def test_no_bytes_make_an_answer_that_is_none_of_ours(name: str, asked: System) -> None:
    document = httpx.get(f"{asked.urls[name]}/openapi.json").json()

    @seed(SEED)
    @settings(max_examples=EXAMPLES * 30, database=None, deadline=None, suppress_health_check=BUSY)
    @given(request=requests(document))
    def ask(request: bytes) -> None:
        status, content_type = answer_to(request, asked.services[name].port)
        if (status, content_type) == (400, "text/plain"):
            return  # no HTTP: uvicorn's own answer, before any of our code
        assert status in (200, 201) or 400 <= status < 500
        assert content_type == ("application/json" if status < 400 else "application/problem+json")

    print(f"SEED={SEED}")
    ask()
    assert [line for line in asked.services[name].lines() if line.get("level") not in ("info", "warning")] == []
