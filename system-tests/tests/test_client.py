"""A typed client that openapi-python-client makes from docs/openapi/: an order from its placing to its refusal."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from chassis.testing import eventually

from operations.addresses import SERVICES
from system import ROOT, System

TYPED = """
from uuid import UUID
from inventory_service.models import ItemResponse
from order_service import AuthenticatedClient
from order_service.api.orders import place_order
from order_service.models import Item, OrderResponse, PlaceOrderRequest, ProblemDetails, Status

async def place(client: AuthenticatedClient, customer: UUID, product: UUID) -> Status:
    body = PlaceOrderRequest(customer, [Item(product, 1, 9.99)])
    answer = await place_order.asyncio(client=client, body=body, idempotency_key="a-key")
    assert isinstance(answer, OrderResponse)
    reveal_type(answer.{field})
    return answer.status
"""


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package for each service."""
    folder = tmp_path_factory.mktemp("clients")
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}  # where the generator finds its formatter
    for name in SERVICES:
        document, package = ROOT / "docs" / "openapi" / f"{name}.json", folder / name.replace("-", "_")
        generate: list[str | Path] = [
            programs / "openapi-python-client",
            "generate",
            "--meta",
            "none",
            "--fail-on-warning",
        ]
        done = subprocess.run(
            [*generate, "--path", document, "--output-path", package], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize(("field", "kind"), [("status", "order_service.models.status.Status"), ("state", None)])
def test_a_type_checker_knows_what_an_order_has(clients: Path, tmp_path: Path, field: str, kind: str | None) -> None:
    program = tmp_path / "program.py"
    program.write_text(TYPED.replace("{field}", field))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", tmp_path / "cache", program],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(clients)},
        capture_output=True,
        text=True,
    )
    if kind is None:
        assert '"OrderResponse" has no attribute "state"' in done.stdout
    else:
        assert f'Revealed type is "{kind}"' in done.stdout
        assert done.returncode == 0, done.stdout


async def test_a_client_made_from_the_documents_works(
    clients: Path, system: System, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(clients))
    token = client.headers.get("authorization", "").removeprefix("Bearer ") or "none"

    callers = {
        service: import_module(service.replace("-", "_")).AuthenticatedClient(system.urls[service], token)
        for service in SERVICES
    }

    def models(service: str) -> Any:
        return import_module(f"{service.replace('-', '_')}.models")

    async def ask(operation: str, *path: object, **parameters: Any) -> Any:
        service, _, module = operation.partition(" ")
        asked = import_module(f"{service.replace('-', '_')}.api.{module}")
        return await asked.asyncio(*path, client=callers[service], **parameters)

    orders, stock = models("order-service"), models("inventory-service")
    customer, product, key = uuid4(), uuid4(), str(uuid4())
    item = await ask("inventory-service inventory.put_item", product, body=stock.SetStockRequest(5))
    assert (item.quantity_available, item.reserved_quantity) == (5, 0)

    body = orders.PlaceOrderRequest(customer, [orders.Item(product, 2, 9.99)])
    placed = await ask("order-service orders.place_order", body=body, idempotency_key=key)
    again = await ask("order-service orders.place_order", body=body, idempotency_key=key)
    assert (placed.id, placed.total_amount) == (again.id, 19.98)

    async def completed() -> bool:
        order = await ask("order-service orders.get_order", placed.id)
        return bool(order.status is orders.Status.COMPLETED)

    await eventually(completed)
    timeline = await ask("order-service orders.get_timeline", placed.id)
    assert [entry.event for entry in timeline] == ["OrderCreated", "OrderConfirmed", "OrderCompleted"]
    [listed] = await ask("order-service orders.get_orders", customer_id=customer, status=orders.Status.COMPLETED)
    assert listed.id == placed.id
    payment = await ask("payment-service payments.get_payment_of_order", placed.id)
    assert (payment.status, payment.amount) == ("completed", 19.98)
    [newest] = await ask("payment-service payments.get_payments", limit=1)
    assert newest.status in models("payment-service").PaymentResponseStatus
    told = await ask("notification-service notifications.get_notifications", customer_id=customer)
    assert {notification.status for notification in told} <= {"sent"}

    refused = await ask("order-service orders.cancel_order", placed.id)
    assert isinstance(refused, orders.ProblemDetails)
    assert (refused.status, refused.type_) == (409, "/problems/illegal-transition")
    unknown = await ask("order-service orders.get_order", uuid4())
    assert unknown.type_ == "/problems/order-not-found"
    for caller in callers.values():
        await caller.get_async_httpx_client().aclose()
