"""What the edge does with requests and with replicas that misbehave, all of them stand-ins."""

import asyncio
import json
import ssl
import subprocess
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from chassis.testing import eventually

from attacks.house import House, open_house
from system import ROOT

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
KEY = {"Idempotency-Key": "a-key-of-the-tests"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as opened:
        yield opened


async def curl(house: House, *arguments: str) -> str:
    """What it prints; the last line has the status and the HTTP version."""
    options = ["--silent", "--cacert", str(house.edge.folder / "ca.crt"), "--max-time", "30", "--noproxy", "*"]
    report = ["--write-out", "\n%{http_code} %{http_version}\n"]
    done = await asyncio.create_subprocess_exec("curl", *options, *report, *arguments, stdout=subprocess.PIPE)
    return (await done.communicate())[0].decode()


def parsed(answer: bytes) -> httpx.Response:
    head, _, text = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return httpx.Response(int(first.split()[1]), headers=headers, content=text)


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Its document, in the shape of the services' own."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert set(document) == {"type", "title", "status", "detail", "instance", "trace_id"}
    assert (document["type"], document["status"]) == (f"/problems/{slug}", status)
    assert f"| `{slug}` | {status}" in (ROOT / "docs" / "errors.md").read_text()
    return document


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/orders", "order-service"),
        ("/orders/customer/1?limit=2", "order-service"),
        ("/inventory", "inventory-service"),
        ("/payments/order/1", "payment-service"),
        ("/notifications?customer_id=1", "notification-service"),
        ("/", "console"),
        ("/?code=1&state=2", "console"),
        ("/events", "console"),
        ("/stream", "console"),
        ("/static/main.js", "console"),
        ("/api/orders", "console"),
    ],
)
async def test_a_path_leads_to_its_service(house: House, path: str, service: str) -> None:
    async with house.edge.client() as client:
        answer = await client.get(path)
    assert answer.headers["x-replica"].startswith(service)
    assert [seen.path for replica in house.replicas[service] for seen in replica.seen] == [path]


HIDDEN = ["/metrics", "/docs", "/redoc", "/openapi.json", "/health/ready", "/health/live", "/order", "/orderss"]
HIDDEN += ["/api", "/static", "/stream/1", "/events/1", "/apis/orders", "/%61pi/orders", "//static/main.js"]
HIDDEN += ['/no"body"s\\', "/orders/../metrics", "//orders", "/%6frders", "/metrics/orders", "/problems/not-found"]


async def test_what_no_customer_needs_is_not_found(house: House) -> None:
    for path in HIDDEN:
        answer = parsed(await house.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()))
        if ".." in path:
            assert [path] == [path for _, path in house.seen], "taken as it is: the service knows no such path"
            continue
        assert problem(answer, 404, "not-found")["instance"] == path


async def test_health_says_only_whether_every_service_has_a_replica(house: House) -> None:
    async with house.edge.client() as client:
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        house.replicas["payment-service"][0].ready = False

        async def red() -> bool:
            return (await client.get("/health")).status_code == 503

        await eventually(red, seconds=15)
        problem(await client.get("/health"), 503, "unavailable")


async def test_only_ready_replicas_get_requests(house: House) -> None:
    async with house.edge.client() as client:
        for _ in range(10):
            await client.get("/orders")
        assert house.first.seen
        assert house.second.seen
        house.first.ready = False
        await house.up("2")
        before = len(house.first.seen)
        for _ in range(10):
            assert (await client.get("/orders")).headers["x-replica"] == "order-service-2"
        assert len(house.first.seen) == before
        house.second.ready = False
        await house.up()
        refused = await client.get("/orders/1", headers={"traceparent": TRACEPARENT})
        assert int(refused.headers["retry-after"]) > 0
        assert problem(refused, 503, "unavailable")["instance"] == "/orders/1"
        assert refused.json()["trace_id"] == TRACEPARENT.split("-")[1]


@pytest.mark.parametrize("dies", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PATCH"])
async def test_what_may_be_repeated_reaches_another_replica(house: House, method: str, dies: str) -> None:
    house.first.dies = dies
    headers = KEY if method in ("POST", "PATCH") else {}
    async with house.edge.client() as client:
        for _ in range(4):
            answer = await client.request(method, "/orders", headers=headers, content=b"" if method == "GET" else b"{}")
            assert (answer.status_code, answer.headers["x-replica"]) == (200, "order-service-2")
    assert house.first.seen, "it was asked first"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("dies", ["close", "reset"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
async def test_a_write_without_a_key_is_sent_once(house: House, method: str, dies: str, version: str) -> None:
    """Neither on a connection's first request nor on later ones, which curl repeats if the edge just hangs up."""
    house.first.dies = house.second.dies = dies
    write = [version, "-X", method, "-H", "Content-Type: application/json", "-d", "{}"]
    for before in ([], [f"{house.edge.url}/notifications"]):
        house.first.seen.clear()
        house.second.seen.clear()
        body, report = (await curl(house, *write, *before, f"{house.edge.url}/orders")).splitlines()[-2:]
        assert house.seen == [(method, "/orders")], report
        assert report == f"502 {version.removeprefix('--http')}"
        document = json.loads(body)
        assert (document["type"], document["instance"]) == ("/problems/bad-gateway", "/orders")


async def test_an_act_on_the_page_is_sent_once(house: House) -> None:
    [page] = house.replicas["console"]
    async with house.edge.client() as client:
        assert (await client.post("/api/orders", json={})).headers["x-replica"] == "console-1"
        page.dies = "close"
        for _ in range(2):
            problem(await client.post("/api/orders", headers=KEY, json={}), 502, "bad-gateway")
    assert len(page.seen) == 3
    assert house.seen == []


async def test_the_page_stays_though_it_says_that_others_are_away(house: House) -> None:
    [page] = house.replicas["console"]
    page.status = 503
    async with house.edge.client() as client:
        for _ in range(30):
            assert (await client.get("/api/dead-letters")).headers["x-replica"] == "console-1"


async def test_a_key_that_no_service_keeps_makes_no_write_safe_to_repeat(house: House) -> None:
    (replica,) = house.replicas["notification-service"]
    replica.dies = "close"
    async with house.edge.client() as client:
        for _ in range(2):
            problem(await client.post("/notifications", headers=KEY, json={}), 502, "bad-gateway")
    assert len(replica.seen) == 2


async def test_a_change_of_stock_is_repeated_under_its_key_and_nothing_else_of_inventory_is(house: House) -> None:
    (replica,) = house.replicas["inventory-service"]
    replica.dies = "close"
    changes = "/inventory/1/changes"
    asked = [(changes, {}, False), ("/inventory/1", KEY, False), (f"{changes}/1", KEY, False), (changes, KEY, True)]
    for path, headers, repeated in asked:
        replica.seen.clear()
        async with house.edge.client() as client:
            problem(await client.post(path, headers=headers, json={}), 502, "bad-gateway")
        assert (len(replica.seen) > 1) is repeated, path


async def test_a_connection_that_was_never_made_repeats_any_request(house: House) -> None:
    """Nothing was sent to a replica that has just gone, whose port refuses."""
    await house.first.__aexit__(None, None, None)
    async with house.edge.client() as client:
        for _ in range(20):
            answer = await client.post("/orders", json={})
            assert (answer.status_code, answer.headers["x-replica"]) == (200, "order-service-2")
    await house.first.__aenter__()


async def test_an_outlier_is_taken_out_though_its_health_looks_well(house: House) -> None:
    house.first.status = 500
    async with house.edge.client() as client:

        async def is_out() -> bool:
            await asyncio.gather(*(client.get("/orders") for _ in range(20)))
            return await house.edge.up("order-service") == {"2"}

        await eventually(is_out, seconds=15)
        house.first.status = 200
        await house.up("1", "2")


async def test_a_silent_replica_costs_a_wait_and_a_slow_body_its_own_sender(house: House) -> None:
    house.first.dies = "silent"
    head = b"POST /inventory HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    slow = asyncio.create_task(house.raw(head))
    async with house.edge.client() as client:
        reads = [asyncio.create_task(client.get("/orders")) for _ in range(4)]
        writes = [asyncio.create_task(client.post("/orders", json={})) for _ in range(4)]
        problem(parsed(await slow), 408, "request-timeout")
        assert house.replicas["inventory-service"][0].seen == []
        assert {(await read).headers["x-replica"] for read in reads} == {"order-service-2"}
        answers = [await write for write in writes]
        unanswered = [answer for answer in answers if answer.status_code != 200]
        assert 0 < len(unanswered) < len(writes)
        for answer in unanswered:
            problem(answer, 504, "gateway-timeout")
    assert len([seen for seen in house.seen if seen[0] == "POST"]) == len(writes)


async def test_a_body_is_refused_by_the_length_that_it_announces(house: House) -> None:
    announced = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n"
    problem(parsed(await house.raw(announced)), 413, "content-too-large")
    assert house.seen == []
    async with house.edge.client() as client:
        assert (await client.post("/orders", content=b" " * 65_536)).status_code == 200


async def test_the_service_sees_what_the_edge_says_of_the_client(house: House) -> None:
    pretended = {
        "X-Forwarded-For": "10.1.1.1",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "for=10.1.1.1",
        "X-Real-IP": "10.1.1.1",
        "X_Forwarded_For": "10.1.1.1",
        "Upgrade": "h2c",
        "traceparent": TRACEPARENT,
    }
    async with house.edge.client() as client:
        await client.get("/inventory", headers=pretended)
        await client.get("/inventory", headers={"traceparent": "nonsense"})
    seen, other = house.replicas["inventory-service"][0].seen
    forwarded = {
        name: value for name, value in seen.headers.items() if "forward" in name or name in ("x-real-ip", "upgrade")
    }
    assert forwarded == {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https"}
    assert seen.headers["traceparent"] == TRACEPARENT
    assert len(other.headers["traceparent"]) == len(TRACEPARENT)
    assert house.edge.lines()[-1]["trace_id"] == other.headers["traceparent"].split("-")[1]


@pytest.mark.parametrize(
    ("version", "cipher", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256", False),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", True),
        (ssl.TLSVersion.TLSv1_3, "ALL", True),
    ],
)
async def test_tls_is_modern(house: House, version: ssl.TLSVersion, cipher: str, accepted: bool) -> None:
    context = house.edge.tls()
    with warnings.catch_warnings(action="ignore"):  # Python's own, on old versions
        context.minimum_version = context.maximum_version = version
    context.set_ciphers(cipher)
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        _, writer = await asyncio.open_connection("localhost", house.edge.port, ssl=context)
    except (ssl.SSLError, ConnectionError):
        assert not accepted
        return
    assert accepted
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    writer.transport.abort()


async def test_answers_bear_hsts_and_nobodys_software(house: House) -> None:
    async with house.edge.client() as client:
        for path in ("/orders", "/nothing", "/health"):
            assert "strict-transport-security" not in (await client.get(path)).headers, "localhost is many services"
            answer = await client.get(path, headers={"Host": "shop.example"})
            assert int(answer.headers["strict-transport-security"].removeprefix("max-age=")) >= 31_536_000
            assert "server" not in answer.headers
            assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert answer.headers["referrer-policy"] == "no-referrer"


SMUGGLED = b"GET /orders/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMUGGLING = {
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    "a length that is none": b"Content-Length: +%d\r\n\r\n" % len(SMUGGLED),
    "an encoding that nobody knows": b"Transfer-Encoding: xchunked\r\n\r\n",
    "a name with a space": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "two hosts": b"Host: elsewhere\r\n\r\n",
}


@pytest.mark.parametrize("how", SMUGGLING)
async def test_an_ambiguous_request_is_refused(house: House, how: str) -> None:
    answer = await house.raw(b"POST /orders HTTP/1.1\r\nHost: localhost\r\n" + SMUGGLING[how] + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert house.seen == []


async def test_a_length_beside_chunks_is_dropped(house: House) -> None:
    both = (
        b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    await house.raw(both + SMUGGLED)
    assert ("GET", "/orders/smuggled") not in house.seen
