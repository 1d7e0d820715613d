"""`make up SECURE=1`: an order goes through, and nobody gets in elsewhere."""

import asyncio
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from chassis.testing import eventually

from attacks.secured import Secured, secured, service_url
from local import run_local
from operations.addresses import ROLES, SERVICES
from system import ROOT

ME, STRANGER = uuid4(), uuid4()
PRICE = 19.99
KEY = {"Idempotency-Key": "delivery-7"}


@pytest.fixture(scope="module")
async def system() -> AsyncIterator[Secured]:
    async with secured() as running:
        yield running


@pytest.fixture(scope="module")
async def product(system: Secured) -> UUID:
    product = uuid4()
    async with system.client(await system.token("staff")) as staff:
        body = {"quantity_available": 990, "price": PRICE}
        assert (await staff.put(f"/inventory/{product}", json=body)).status_code == 201
        for replayed in (None, "true"):
            arrived = await staff.post(f"/inventory/{product}/changes", json={"difference": 10}, headers=KEY)
            assert (arrived.json()["quantity_available"], arrived.headers.get("idempotent-replayed")) == (
                1000,
                replayed,
            )
    return product


def order_of(product: UUID, customer: UUID = ME, price: float = PRICE) -> dict[str, object]:
    return {"customer_id": str(customer), "items": [{"product_id": str(product), "quantity": 1, "price": price}]}


async def ends(client: httpx.AsyncClient, order: str, status: str) -> None:
    async def is_so() -> bool:
        return bool((await client.get(f"/orders/{order}")).json()["status"] == status)

    await eventually(is_so, seconds=30)


async def test_a_customer_s_order_is_completed_and_a_stranger_s_hands_are_kept_off(
    system: Secured, product: UUID
) -> None:
    stranger = await system.token("customer", STRANGER)
    auditor = await system.token("auditor")
    async with system.client(await system.token("customer", ME)) as me:
        placed = await me.post("/orders", json=order_of(product))
        assert placed.status_code == 201
        order = placed.json()["id"]
        await ends(me, order, "completed")

        assert (await me.put(f"/inventory/{product}", json={"quantity_available": 1})).status_code == 403
        changes = f"/inventory/{product}/changes"
        assert (await me.post(changes, json={"difference": 1}, headers=KEY)).status_code == 403
        assert (await me.post("/orders", json=order_of(product, STRANGER))).status_code == 403
        cheap = (await me.post("/orders", json=order_of(product, price=0.01))).json()["id"]
        await ends(me, cheap, "failed")
    paths = [f"/orders/{order}", f"/orders/{order}/timeline", f"/payments/order/{order}"]
    for token, status in (("", 401), (f"{stranger[:-4]}AAAA", 401), (stranger, 404), (auditor, 200)):
        async with system.client(token) as caller:
            assert [(await caller.get(path)).status_code for path in paths] == [status] * len(paths)
    assert "the books agree" in await system.run("books")
    assert "0 found" in await system.run("dead-letters")


async def test_the_readme_s_lines_do_what_it_says(system: Secured) -> None:
    await system.said(sys.executable, ROOT / "deploy/local/readme_lines.py", f"edge={system.ports['edge']}")


async def test_a_load_passes_the_edge(system: Secured) -> None:
    assert "books             they agree" in await system.run("load", "--arguments", "--orders 200 --clients 8")


async def test_health_and_metrics_are_for_this_machine_only(system: Secured) -> None:
    hidden = (
        "/metrics",
        "/health/ready",
        "/health/live",
        "/docs",
        "/openapi.json",
        "/.well-known/openid-configuration",
    )
    async with system.client(await system.token("auditor")) as caller:
        assert {(await caller.get(path)).status_code for path in hidden} == {404}
        assert (await caller.get("/health")).json() == {"status": "ok"}
    async with system.past_the_edge("edge", headers=caller.headers) as edge:
        for name in SERVICES:
            for path in (*hidden, "/health"):
                assert (await edge.get(f"{service_url(system, name)}{path}")).status_code == 404, (name, path)
            internal = f"http://127.0.0.1:{system.ports[f'{name}-internal']}"
            assert (await edge.get(f"{internal}/health")).json()["service"] == name
            assert (await edge.get(f"{internal}/metrics")).status_code == 200
            assert (await edge.get(f"{internal}/orders")).status_code == 404


def test_all_of_it_listens_at_one_address_of_this_machine(system: Secured) -> None:
    for name, port in system.ports.items():
        with socket.create_connection(("127.0.0.1", port)):
            pass
        with pytest.raises((ConnectionError, TimeoutError)), socket.create_connection(("127.0.0.2", port), 5):
            pytest.fail(f"{name} answers at every address")


async def test_nobody_reaches_a_service_past_the_edge(system: Secured) -> None:
    async with system.past_the_edge() as without:
        for name in SERVICES:
            with pytest.raises(httpx.TransportError):
                await without.get(service_url(system, name))
            with pytest.raises(httpx.TransportError):
                await without.get(service_url(system, name).replace("https", "http"))


async def test_the_database_takes_no_connection_without_tls_and_no_password_of_development(system: Secured) -> None:
    address = {"host": "localhost", "port": system.ports["postgres"], "database": "order_processing"}
    password = (system.home / "secrets" / "postgres.password").read_text().strip()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no encryption"):
        await asyncpg.connect(user="postgres", password=password, ssl=False, **address)
    for role in ("postgres", *ROLES.values()):
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await asyncpg.connect(user=role, password=role, ssl=system.tls(), **address)
    connection = await asyncpg.connect(user="postgres", password=password, ssl=system.tls(), **address)
    plain = (
        "SELECT usename FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_port IS NOT NULL AND NOT ssl"
    )
    users = {user for (user,) in await connection.fetch("SELECT DISTINCT usename FROM pg_stat_activity") if user}
    assert await connection.fetch(plain) == []
    assert users - {"auditor_a"} == {"postgres", *(f"{role}_a" for role in ROLES.values())}
    await connection.close()


async def test_prometheus_sees_every_process_the_broker_and_the_books_which_it_reads_as_an_auditor(
    system: Secured,
) -> None:
    addresses = {f"127.0.0.1:{port}" for name, port in system.ports.items() if name.endswith(("-internal", "metrics"))}
    addresses -= {f"127.0.0.1:{system.ports[name]}" for name in ("edge-metrics", "console-internal")}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{system.ports['prometheus']}") as prometheus:

        async def answers() -> bool:
            up = (await prometheus.get("/api/v1/query", params={"query": "up == 1"})).json()["data"]["result"]
            books = (await prometheus.get("/api/v1/query", params={"query": "books_violations"})).json()["data"][
                "result"
            ]
            return {its["metric"]["instance"] for its in up} == addresses and bool(books)

        await eventually(answers, seconds=60)
    script = (system.home / "bin" / "metrics").read_text()
    assert "auditor.database-url" in script
    assert "operations.database-url" not in script


async def test_the_broker_speaks_tls_only_and_knows_no_guest(system: Secured) -> None:
    login = (system.home / "secrets" / "management-url").read_text().strip()
    async with httpx.AsyncClient(base_url=login, verify=system.tls()) as administrator:
        listeners = (await administrator.get("/api/overview")).json()["listeners"]
        users = {user["name"] for user in (await administrator.get("/api/users")).json()}
        queues = {queue["name"] for queue in (await administrator.get("/api/queues")).json()}
    # Its figures for Prometheus ask nobody for a login, at this machine's address: see above.
    protocols = {"amqp/ssl", "https", "clustering", "http/prometheus"}
    assert {listener["protocol"] for listener in listeners} == protocols
    assert users == {"admin", "operations", *SERVICES}
    assert "order_events.tap" not in queues
    for port in (system.ports["rabbitmq"], system.ports["rabbitmq-management"]):
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"AMQP\x00\x00\x09\x01")
            plain.settimeout(10)
            assert not plain.recv(100).startswith((b"AMQP", b"\x01")), "it has answered in AMQP"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
async def test_no_secret_is_in_a_command_line_an_environment_or_a_log(system: Secured) -> None:
    secrets = [*system.secrets()]
    assert len(secrets) == 24
    assert min(map(len, secrets)) >= 32
    programs = system.processes()
    assert [name for name in ("uvicorn", "haproxy", "postgres", "beam") if name not in str(programs)] == []
    logs = {path.name: path.read_text(errors="replace") for path in (system.home / "log").iterdir()}
    found = {where for where, text in (programs | logs).items() for secret in secrets if secret in text}
    assert found | {where for where, text in logs.items() if "eyJ" in text} == set()  # which is how a token begins


async def test_only_its_owner_reads_the_secrets(system: Secured) -> None:
    folders = [system.home / name for name in ("secrets", "tls", "issuer")]
    private = [path for folder in folders for path in (folder, *folder.iterdir()) if path.suffix != ".crt"]
    assert {path: oct(path.stat().st_mode)[-2:] for path in private} == dict.fromkeys(private, "00")


@asynccontextmanager
async def orders_placed(system: Secured, product: UUID) -> AsyncIterator[list[int]]:
    """By eight clients of the edge, all the while. Yields what each request was answered."""
    statuses: list[int] = []
    going = True

    async def place(token: str, customer: UUID) -> None:
        async with system.client(token) as client:
            while going:
                key = {"Idempotency-Key": str(uuid4())}
                answer = await client.post("/orders", json=order_of(product, customer), headers=key)
                statuses.append(answer.status_code)
                if answer.status_code == 201:
                    await client.delete(f"/orders/{answer.json()['id']}")
                await asyncio.sleep(0.1)  # one customer may send 20 requests a second

    customers = [uuid4() for _ in range(8)]
    tokens = [await system.token("customer", customer) for customer in customers]
    placing = [asyncio.create_task(place(*who)) for who in zip(tokens, customers, strict=True)]
    try:
        await more(statuses)
        yield statuses
        await more(statuses)
    finally:
        going = False
        await asyncio.gather(*placing)


async def more(statuses: list[int]) -> None:
    seen = len(statuses)

    async def came() -> bool:
        return len(statuses) >= seen + 50

    await eventually(came, seconds=60)


async def test_signing_keys_are_replaced_while_orders_are_placed(system: Secured, product: UUID) -> None:
    [key] = (system.home / "issuer").glob("*.pem")
    async with orders_placed(system, product) as statuses:
        new = await system.token("customer", STRANGER, "--new-key")
        async with system.client(new) as after:
            placed = await after.post("/orders", json=order_of(product, STRANGER))
            assert placed.status_code == 201
            paths = (f"/orders/customer/{STRANGER}", "/inventory", f"/notifications?customer_id={STRANGER}")
            assert [(await after.get(path)).status_code for path in paths] == [200] * 3
    assert set(statuses) == {201}
    assert key.exists()


async def test_certificates_are_renewed_while_orders_are_placed(system: Secured, product: UUID) -> None:
    ports = {name: system.ports[name] for name in SERVICES}

    async def serials() -> dict[str, str]:
        return {name: await system.serial(port) for name, port in ports.items()}

    before = await serials()
    async with orders_placed(system, product) as statuses:
        names = [f"{name},localhost" for name in SERVICES]
        await system.said(ROOT / "deploy/tls/make-certificates", system.home / "tls", *names)
        after = await serials()
        assert before.items().isdisjoint(after.items())
    assert set(statuses) == {201}


async def test_a_restart_keeps_the_data_and_the_secrets(system: Secured, product: UUID) -> None:
    async with system.client(await system.token("customer", ME)) as me:
        order = (await me.post("/orders", json=order_of(product))).json()["id"]
        await ends(me, order, "completed")
    keys = [system.home / "tls" / "ca.key", *(system.home / "issuer").iterdir(), *(system.home / "secrets").glob("*d")]
    before = [path.read_text() for path in keys]
    await system.run("down")
    await system.run("up")
    async with system.client(await system.token("customer", ME)) as me:
        assert (await me.get(f"/orders/{order}")).json()["status"] == "completed"
    assert [path.read_text() for path in keys] == before


def test_a_setting_that_would_undo_it_is_refused(tmp_path: Path) -> None:
    code = f"""
import os, layout, secure
layout.ROOT = layout.Path({str(tmp_path)!r})
def tried():
    try:
        secure.refuse_other_ways()
        print("goes")
    except secure.Problem as problem:
        print(problem)
tried()
(layout.ROOT / ".env").write_text("DATABASE_URL=postgresql://a:b@c/d")
tried()
"""
    goes, url = run_local(code).splitlines()
    assert goes == "goes"
    assert re.match(r"DATABASE_URL in \.env would win", url)
