"""Places a handful of orders and shows how each of them ends."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx

from operations import tokens
from operations.addresses import Refused, service_urls
from operations.books.rows import FINAL
from operations.shop import DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER, Line, Shop
from operations.waiting import until

PATIENCE_SECONDS = 60
_PRICES = {"espresso cups": 12.50, "filter papers": 4.95, "coffee grinder": 189.00}
_REASONS = {
    "out-of-stock": "out of stock",
    "unknown-product": "a product that nobody sells",
    "price-changed": "another price than the shop's",
    "no-price": "a product without a price",
    "payment-declined": "the payment was declined",
    "payment-retries-exhausted": "the payment met an error at every attempt",
    "expired": "its time was up",
    "cancelled-by-customer": "the customer changed their mind",
    "cancelled-by-staff": "staff cancelled it",
}
_IN_WORDS = {
    "OrderCreated": "the order is taken",
    "OrderConfirmed": "everything is set aside for it",
    "OrderCompleted": "paid: the order is completed",
    "OrderFailed": "the order has failed",
    "OrderCancelled": "the order is cancelled",
    "InventoryReleased": "what was set aside is free again",
    "PaymentRefunded": "the money is given back",
}
_LAST_WORD = {
    "completed": "Order completed",
    "failed": "Order failed",
    "cancelled": "Order cancelled",
    "refunded": "Payment refunded",
}


@dataclass(frozen=True)
class Scene:
    title: str
    lines: dict[str, int]
    """How many of what."""
    customer: UUID | None = None
    cancelled: bool = False


SCENES = (
    Scene("An order that goes well", {"espresso cups": 2, "filter papers": 3}),
    Scene("An order of more than there is", {"coffee grinder": 5}),
    Scene("Two lines, one of which is short: nothing is set aside", {"espresso cups": 4, "coffee grinder": 2}),
    Scene("A card that is declined", {"espresso cups": 1}, DECLINED_CUSTOMER),
    Scene("A payment that meets an error at every attempt", {"filter papers": 10}, FAILING_CUSTOMER),
    Scene("A customer who changes their mind before paying", {"espresso cups": 6}, FAILING_CUSTOMER, cancelled=True),
    Scene("Charged, but the answer is lost: asked again, charged once", {"filter papers": 1}, FORGETFUL_CUSTOMER),
    Scene(
        "Cancelled while the charge is in doubt: refunded", {"coffee grinder": 1}, FORGETFUL_CUSTOMER, cancelled=True
    ),
)
_STOCK = {"espresso cups": 20, "filter papers": 50, "coffee grinder": 1}
_PAYMENT_ENDS = ("completed", "failed", "cancelled", "refunded")

Stock = dict[str, tuple[int, int]]


async def play(shop: Shop, number: int, scene: Scene, products: dict[str, UUID]) -> str:
    """Places the scene's order, waits until all has come to rest, and tells it."""
    before = {name: await shop.stock_of(products[name]) for name in scene.lines}
    lines = [Line(products[name], quantity, _PRICES[name]) for name, quantity in scene.lines.items()]
    order = await shop.place(*lines, customer=scene.customer or uuid4())
    if scene.cancelled:
        await _expect(lambda: _asked_to_pay(shop, order["id"]))
        await shop.cancel(order["id"])
    await _expect(lambda: _at_rest(shop, order["id"], list(scene.lines), products), 0.1)
    after = {name: await shop.stock_of(products[name]) for name in scene.lines}
    return _told(
        number,
        scene,
        await shop.order(order["id"]),
        await shop.timeline(order["id"]),
        await shop.payment(order["id"]),
        before,
        after,
        await shop.told(order),
    )


async def _expect(condition: Callable[[], Awaitable[bool]], every_seconds: float = 0.02) -> None:
    """An edge may take no more than 100 requests a second, and a condition asks for several things."""
    if not await until(condition, within_seconds=PATIENCE_SECONDS, every_seconds=every_seconds):
        raise Refused(f"An order had not come to its end after {PATIENCE_SECONDS} s: look into `make logs`.")


async def _asked_to_pay(shop: Shop, order_id: str) -> bool:
    payment, order = await shop.payment(order_id), await shop.order(order_id)
    return payment is not None and payment["attempts"] > 0 and order["status"] != "pending"


async def _at_rest(shop: Shop, order_id: str, names: list[str], products: dict[str, UUID]) -> bool:
    """Whether the order is final, nothing is set aside for it, its payment has ended and the customer knows."""
    order, payment = await shop.order(order_id), await shop.payment(order_id)
    if order["status"] not in FINAL or (payment and payment["status"] not in _PAYMENT_ENDS):
        return False
    refunded = payment is not None and payment["status"] == "refunded"
    if refunded and "PaymentRefunded" not in {entry["event"] for entry in await shop.timeline(order_id)}:
        return False
    if _LAST_WORD["refunded" if refunded else order["status"]] not in await shop.told(order):
        return False
    return all([(await shop.stock_of(products[name]))[1] == 0 for name in names])


def _told(
    number: int,
    scene: Scene,
    order: dict[str, Any],
    timeline: list[dict[str, Any]],
    payment: dict[str, Any] | None,
    before: Stock,
    after: Stock,
    told: list[str],
) -> str:
    wanted = ", ".join(f"{quantity} x {name}" for name, quantity in scene.lines.items())
    began = datetime.fromisoformat(timeline[0]["at"])
    rows = []
    for entry in timeline:
        seconds = (datetime.fromisoformat(entry["at"]) - began).total_seconds()
        why = f" ({_reason(entry['reason'])})" if entry["reason"] and entry["event"].startswith("Order") else ""
        rows.append(f"  {seconds:+9.3f} s  {entry['event']:<18} {_IN_WORDS[entry['event']]}{why}")
    stock = "; ".join(f"{name} {before[name][0]} -> {after[name][0]}" for name in scene.lines)
    return "\n".join(
        [
            f"{number}. {scene.title}",
            f"  {wanted}: {_money(order['total_amount'], order['currency'])}, order {order['id']}",
            *rows,
            f"  {'payment':<12} {_payment_in_words(payment)}",
            f"  {'stock':<12} {stock}",
            f"  {'told':<12} {', '.join(told)}",
            f"  {'in the end':<12} {order['status']}",
        ]
    )


def _payment_in_words(payment: dict[str, Any] | None) -> str:
    if payment is None:
        return "nobody was asked to pay"
    amount, tries = _money(payment["amount"], payment["currency"]), payment["attempts"]
    asked = f"asked {'once' if tries == 1 else f'{tries} times'}"
    match payment["status"]:
        case "completed":
            return f"charged {amount} ({asked})"
        case "refunded":
            return f"charged {amount} and refunded {amount} ({asked} to charge)"
        case "failed":
            return f"nothing charged: {_reason(payment['reason'])} ({asked})"
        case status:
            return f"nothing charged: {status} ({asked})"


def _reason(slug: str) -> str:
    return _REASONS.get(slug, slug.replace("-", " "))


def _money(amount: float, currency: str) -> str:
    return f"{amount:,.2f} {currency}"


async def _play_all(urls: dict[str, str]) -> None:
    async with tokens.client() as client:
        shop = Shop(urls, client)
        # Of each name a product of this demonstration's own, so that it can be run as often as one likes.
        products = {name: await shop.stock(quantity, price=_PRICES[name]) for name, quantity in _STOCK.items()}
        print("In stock: " + ", ".join(f"{quantity} x {name}" for name, quantity in _STOCK.items()) + "\n")
        for number, scene in enumerate(SCENES, start=1):
            print(await play(shop, number, scene, products), end="\n\n", flush=True)
        print(f"Each order is at {urls['order-service']}/orders/<order>, its timeline at .../<order>/timeline.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(_: argparse.Namespace) -> int:
    try:
        asyncio.run(_play_all(service_urls()))
    except httpx.TransportError as error:
        url = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
        raise Refused(f"Nothing answers at {url}: start the system with `make up`.") from None
    except httpx.HTTPStatusError as error:
        answer = error.response
        sentence = (
            f"{answer.request.method} {answer.url} was answered with {answer.status_code}: look into `make logs`."
        )
        raise Refused(sentence) from None
    return 0
