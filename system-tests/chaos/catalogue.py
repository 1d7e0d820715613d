"""What is in stock, and what each order is: functions of the seed and the order's number, so that nothing of it has to
be remembered until the end."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from operations.shop import DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER

DIFFICULT_CUSTOMERS = (DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER)
DIFFICULT, CONTESTED, UNKNOWN, TWICE, CANCELLED = 0.09, 0.1, 0.01, 0.05, 0.1
"""The shares of orders whose customer is one of those, that want a product of which there is little or none, that are
sent twice at the same moment, and that the customer takes back."""
CANCELLED_WITHIN_SECONDS = 2.0

_PLENTIFUL = 20
_PLENTY = 10_000_000
_ORDERS_A_CONTESTED_PRODUCT = 100
_LITTLE = 8


@dataclass(frozen=True, slots=True)
class Order:
    number: int
    key: str
    """Its Idempotency-Key."""
    customer_id: UUID
    lines: tuple[tuple[UUID, int, Decimal], ...]
    times: int
    """How often it is sent at the same moment: who presses a button twice sends one order."""
    cancelled_after_seconds: float | None

    @property
    def body(self) -> dict[str, Any]:
        items = [
            {"product_id": str(product), "quantity": quantity, "price": float(price)}
            for product, quantity, price in self.lines
        ]
        return {"customer_id": str(self.customer_id), "items": items}

    def differs_from(self, row: Mapping[str, Any]) -> bool:
        """Whether the order's row tells of anything else than was sent."""
        lines = tuple((UUID(i["product_id"]), i["quantity"], Decimal(i["price"])) for i in row["items"])
        total = sum(quantity * price for _, quantity, price in self.lines)
        return (row["customer_id"], lines, row["total_amount"]) != (self.customer_id, self.lines, total)


@dataclass(frozen=True, slots=True)
class Catalogue:
    seed: int
    orders: int
    """How many there may be."""

    def stock(self) -> dict[UUID, int]:
        contested = range(self.orders // _ORDERS_A_CONTESTED_PRODUCT + 1)
        return {self._product("plentiful", number): _PLENTY for number in range(_PLENTIFUL)} | {
            self._product("contested", number): _LITTLE for number in contested
        }

    def order(self, number: int) -> Order:
        chance = random.Random(f"{self.seed}:{number}")
        customer = UUID(int=chance.getrandbits(128))
        if chance.random() < DIFFICULT:
            customer = chance.choice(DIFFICULT_CUSTOMERS)
        products = [self._product("plentiful", n) for n in chance.sample(range(_PLENTIFUL), chance.randint(1, 3))]
        drawn = chance.random()
        if drawn < CONTESTED:
            products.append(self._product("contested", min(number, self.orders) // _ORDERS_A_CONTESTED_PRODUCT))
        elif drawn < CONTESTED + UNKNOWN:
            products.append(self._product("unknown", number))
        return Order(
            number,
            f"{self.seed}:{number}",
            customer,
            tuple((p, chance.randint(1, 3), Decimal(chance.randint(1, 20_000)) / 100) for p in products),
            times=2 if chance.random() < TWICE else 1,
            cancelled_after_seconds=(
                chance.uniform(0, CANCELLED_WITHIN_SECONDS) if chance.random() < CANCELLED else None
            ),
        )

    def _product(self, kind: str, number: int) -> UUID:
        return UUID(int=random.Random(f"{self.seed}:{kind}:{number}").getrandbits(128))
