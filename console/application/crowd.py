"""Many customers who want the same few pieces: how it goes, and what it must come to."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from application.events import DECISIONS

MOST_ORDERS = 500
_FINAL = set(DECISIONS.values())


@dataclass(slots=True)
class Crowd:
    product_id: str
    wanted: int
    pieces: int
    refused: int = 0
    """Orders that were not accepted."""
    orders: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Status and reason of each accepted order."""
    free: int | None = None
    held: int | None = None

    def note(self, order: Mapping[str, Any]) -> None:
        self.orders[str(order["id"])] = str(order["status"]), order.get("reason")

    def note_stock(self, item: Mapping[str, Any] | None) -> None:
        if item is not None:
            self.free, self.held = item["quantity_available"], item["reserved_quantity"]

    @property
    def decided(self) -> bool:
        """Whether every order has its outcome."""
        return len(self.orders) + self.refused == self.wanted and not self.undecided()

    @property
    def settled(self) -> bool:
        """Whether nothing is held any more either: what was undone is free again, and what was sold is gone."""
        return self.decided and self.held == 0

    def undecided(self) -> Collection[str]:
        return [order_id for order_id, (status, _) in self.orders.items() if status not in _FINAL]

    def picture(self) -> dict[str, Any]:
        counts = Counter(status for status, _ in self.orders.values())
        sold = counts["completed"]
        return {
            "product_id": self.product_id,
            "wanted": self.wanted,
            "pieces": self.pieces,
            "refused": self.refused,
            "statuses": counts,
            "reasons": Counter(reason for _, reason in self.orders.values() if reason),
            "free": self.free,
            "held": self.held,
            "decided": self.decided,
            "settled": self.settled,
            "kept": sold <= self.pieces and (not self.settled or sold + (self.free or 0) == self.pieces),
        }
