"""What became of one order: what the page saw of it, merged with what each service tells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from application import events
from application.orders import SeenOrder

_PAID = ("OrderCreated", "InventoryReserved", "OrderConfirmed", "PaymentProcessed", "OrderCompleted")
"""The way of an order that nothing stops; a completed one must have gone it, whether anybody saw it or not."""


@dataclass(slots=True)
class Told:
    """What the services tell of an order over HTTP; None is what nobody has, or could say."""

    order: Mapping[str, Any] | None = None
    timeline: Sequence[Mapping[str, Any]] = ()
    payment: Mapping[str, Any] | None = None
    notifications: Sequence[Mapping[str, Any]] = ()
    stock: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By product."""
    silent: Sequence[str] = ()
    """The services that did not answer."""


def story(
    order_id: str, seen: SeenOrder | None, told: Told, before: Mapping[str, Mapping[str, Any] | None]
) -> dict[str, Any]:
    """`before` is the stock of the order's products when it was placed, as far as the page looked then."""
    steps = sorted([*_seen(seen), *_of_timeline(told.timeline, seen)], key=lambda step: float(step["at"]))
    for previous, step in zip([None, *steps], steps, strict=False):
        step["ms"] = None if previous is None else round((step["at"] - previous["at"]) * 1000)
    by = {str(entry["event"]): entry.get("by") for entry in told.timeline}
    for step in steps:
        step["by"] = by.get(step["name"])
    status = told.order["status"] if told.order else seen.status if seen else None
    if status == "completed":
        _note_unrecorded(steps)
    products = [str(item["product_id"]) for item in (told.order or {}).get("items", ())]
    return {
        "id": order_id,
        "status": status,
        "order": told.order,
        "trace_id": (told.order or {}).get("trace_id") or _trace_id(seen),
        "watched": seen is not None,
        "waits_for": seen.waits_for if seen and seen.waits_for else None,
        "steps": steps,
        "payment": told.payment,
        "notifications": [note for note in reversed(told.notifications) if order_id in str(note.get("message"))],
        "stock": [
            {"product_id": product, "before": before.get(product), "now": told.stock.get(product)}
            for product in dict.fromkeys(products)
        ],
        "silent": told.silent,
    }


def _seen(seen: SeenOrder | None) -> Iterator[dict[str, Any]]:
    for event in seen.in_order() if seen else ():
        yield _step(event.name, event.source, event.at) | {
            "seen": True,
            "repeat": event.repeat,
            "twice": seen.twice[event.id] if seen else 0,
            "reason": event.reason,
        }


def _of_timeline(timeline: Sequence[Mapping[str, Any]], seen: SeenOrder | None) -> Iterator[dict[str, Any]]:
    """What the order service noted and the page did not see."""
    for entry in timeline:
        name = str(entry["event"])
        if not (seen and name in seen.names):
            at = datetime.fromisoformat(str(entry["at"])).timestamp()
            yield _step(name, events.publisher(name), at) | {"seen": False, "reason": entry.get("reason")}


def _note_unrecorded(steps: list[dict[str, Any]]) -> None:
    """Puts in what must have been though nobody kept it, before whatever came after it."""
    for place, name in reversed([*enumerate(_PAID)]):
        if any(step["name"] == name for step in steps):
            continue
        later = [index for index, step in enumerate(steps) if step["name"] in _PAID[place + 1 :]]
        lane = events.publisher(name)
        steps.insert(min(later, default=len(steps)), _step(name, lane, None) | {"seen": False, "reason": None})


def _step(name: str, lane: str, at: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "lane": lane,
        "kind": events.kind(name),
        "at": at,
        "ms": None,
        "by": None,
        "readers": events.READERS.get(name, ()),
        "repeat": False,
        "twice": 0,
    }


def _trace_id(seen: SeenOrder | None) -> str | None:
    return next((event.trace_id for event in seen.events if event.trace_id), None) if seen else None
