"""The four services over HTTP, and what each of their processes says about itself."""

import asyncio
import re
import socket
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from chassis.ports.errors import Unavailable

from application.events import INVENTORY, NOTIFICATION, ORDER, PAYMENT
from application.figures import Replica
from application.ports import AUTHORIZATION, Refused
from application.story import Told

_COUNTED = (
    *("orders_total", "events_published_total", "events_consumed_total"),
    *("outbox_backlog", "outbox_oldest_age_seconds"),
)
_SAMPLE = re.compile(rf'^({"|".join(_COUNTED)})(?:{{(?:status="(\w+)")?[^}}]*}})? (\S+)$', re.MULTILINE)
_GONE = {404, 422}
"""Answers that mean: there is none."""


class HttpServices:
    def __init__(
        self, urls: Mapping[str, list[str]], internal_urls: Mapping[str, list[str]], client: httpx.AsyncClient
    ) -> None:
        """`urls` has the addresses of each service's replicas, `internal_urls` where these serve health and metrics."""
        self._urls = urls
        self._internal_urls = internal_urls
        self._client = client

    async def start(self) -> None:
        """Nothing to do: connections are opened when they are needed."""

    async def stop(self) -> None:
        await self._client.aclose()

    # --- Watching ----------------------------------------------------------------------------------------------------

    async def replicas(self) -> dict[str, list[Replica]]:
        names = [*self._internal_urls]
        found = await asyncio.gather(*(self._replicas_of(name) for name in names))
        return dict(zip(names, found, strict=True))

    async def _replicas_of(self, service: str) -> list[Replica]:
        found = [address for url in self._internal_urls[service] for address in await addresses(url)]
        return await asyncio.gather(*(self._replica(service, address) for address in found))

    async def _replica(self, service: str, url: str) -> Replica:
        name = urlsplit(url).netloc
        try:
            health, metrics = await asyncio.gather(
                self._client.get(f"{url}/health", timeout=3), self._client.get(f"{url}/metrics", timeout=3)
            )
            said = health.json()
            if said["service"] != service:
                return Replica(name, "away", [f"{said['service']} answers there"])
            checks = said["checks"].items()
            problems = [f"{check}: {state['detail']}" for check, state in checks if state["status"] != "ok"]
            return Replica(name, "failing" if problems else "ok", problems, _figures(metrics.text))
        except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError):
            return Replica(name, "away")

    # --- Asking and acting -------------------------------------------------------------------------------------------

    async def told(self, order_id: str) -> Told:
        told = Told()
        silent: list[str] = []

        async def ask(service: str, path: str) -> Any:
            try:
                return await self._get(service, path)
            except Unavailable:
                silent.append(service)
            except Refused:
                pass
            return None

        order, timeline, payment = await asyncio.gather(
            ask(ORDER, f"/orders/{order_id}"),
            ask(ORDER, f"/orders/{order_id}/timeline"),
            ask(PAYMENT, f"/payments/order/{order_id}"),
        )
        told.order, told.timeline, told.payment = order, timeline or (), payment
        if order:
            customer = order["customer_id"]
            products = {item["product_id"] for item in order["items"]}
            notes, *items = await asyncio.gather(
                ask(NOTIFICATION, f"/notifications?limit=200&customer_id={customer}"),
                *(ask(INVENTORY, f"/inventory/{product}") for product in products),
            )
            told.notifications = notes or ()
            told.stock = {item["product_id"]: item for item in items if item}
        told.silent = sorted(set(silent))
        return told

    async def orders(self, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = await self._get(ORDER, f"/orders?{urlencode(asked)}")
        return orders

    async def order(self, order_id: str) -> dict[str, Any]:
        order: dict[str, Any] = await self._get(ORDER, f"/orders/{order_id}")
        return order

    async def place(self, order: Mapping[str, Any]) -> dict[str, Any]:
        placed: dict[str, Any] = await self._ask("POST", ORDER, "/orders", order)
        return placed

    async def cancel(self, order_id: str) -> dict[str, Any]:
        cancelled: dict[str, Any] = await self._ask("DELETE", ORDER, f"/orders/{order_id}")
        return cancelled

    async def stock(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = await self._get(INVENTORY, "/inventory?limit=100")
        return items

    async def stock_of(self, product_id: str) -> dict[str, Any] | None:
        try:
            item: dict[str, Any] = await self._get(INVENTORY, f"/inventory/{product_id}")
        except Refused as refusal:
            if refusal.status in _GONE:
                return None
            raise
        return item

    async def set_stock(self, product_id: str, stock: Mapping[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = await self._ask("PUT", INVENTORY, f"/inventory/{product_id}", stock)
        return item

    async def change_stock(self, product_id: str, difference: int, key: str) -> dict[str, Any]:
        change: dict[str, Any] = await self._ask(
            "POST", INVENTORY, f"/inventory/{product_id}/changes", {"difference": difference}, key
        )
        return change

    async def _get(self, service: str, path: str) -> Any:
        return await self._ask("GET", service, path)

    async def _ask(
        self, method: str, service: str, path: str, body: Mapping[str, Any] | None = None, key: str | None = None
    ) -> Any:
        """Asks the replicas, as the caller, one after the other until one answers; a request that changes something,
        without a key that the service keeps, only if it can't have arrived."""
        headers = {"Idempotency-Key": key} if key else {}
        if token := AUTHORIZATION.get():
            headers["Authorization"] = token
        problem = "has no address"
        for url in self._urls[service]:
            try:
                answer = await self._client.request(method, f"{url}{path}", json=body, headers=headers)
            except httpx.TransportError as error:
                problem = type(error).__name__
                if method == "GET" or key or isinstance(error, httpx.ConnectError):
                    continue
                break
            return _content(service, answer)
        raise Unavailable(f"{service} does not answer ({problem})")


def _content(service: str, answer: httpx.Response) -> Any:
    """Raises Refused with the service's own words, and Unavailable if it has none."""
    try:
        content = answer.json()
    except ValueError:
        raise Unavailable(f"{service} answers what is no JSON (status {answer.status_code})") from None
    if answer.is_success:
        return content
    if answer.status_code >= 500:
        raise Unavailable(f"{service} can't do it now: {content.get('detail', answer.status_code)}")
    errors = "; ".join(f"{error['path']}: {error['message']}" for error in content.get("errors") or ())
    slug = str(content.get("type", "")).rpartition("/")[2] or "refused"
    raise Refused(answer.status_code, slug, errors or str(content.get("detail", answer.status_code)))


def _figures(metrics: str) -> dict[str, float]:
    """The counted metrics, summed over all labels but `status`."""
    sums: dict[str, float] = defaultdict(float)
    for name, status, value in _SAMPLE.findall(metrics):
        sums[f"{name}/{status}" if status else name] += float(value)
    return dict(sums)


async def addresses(url: str) -> list[str]:
    """The URL with each address that its host's name has; as it is if it has none now."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host == "localhost" or re.fullmatch(r"[0-9.]+|.*:.*", host):
        return [url]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, parts.port or 80, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        return [url]
    return [
        f"{parts.scheme}://{address}:{parts.port or 80}" for address in sorted({str(entry[4][0]) for entry in found})
    ]
