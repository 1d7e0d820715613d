from collections import Counter
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from chassis.ports.errors import Rejected
from chassis.testing import received
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from application.handle_events import handle_events
from application.messages import OrderCreated
from domain.reservation import Status
from tests.inventory import Inventory
from tests.messages import PRICE, completed, order_created, run, undone

PRODUCTS = [UUID(int=number) for number in range(3)]
ENDS = {Status.SOLD, Status.RELEASED}
WAYS = {None: {Status.HELD, Status.REFUSED, Status.VOID} | ENDS, Status.HELD: ENDS}
"""Where a reservation may be next time one looks; it stays for ever where none leads on."""
MESSAGES = {"created": lambda order: order, "completed": completed, "undone": undone}


class ConnectionLost(Exception):
    pass


class StockIsConserved(RuleBasedStateMachine):
    """Whatever arrives, in whatever order and grouping and however often: no piece appears, vanishes or is held
    twice, and none is held at another price than the product has then. The last product is never stocked, so orders
    for it are refused."""

    orders = Bundle[OrderCreated]("orders")

    @initialize(quantities=st.lists(st.integers(0, 20), min_size=2, max_size=2))
    def stock_up(self, quantities: list[int]) -> None:
        self.inventory = Inventory()
        self.placed = 0
        self.seen: dict[UUID, Status] = {}
        self.trusted: dict[UUID, bool] = {}
        self.prices: dict[UUID, Decimal | None] = dict.fromkeys(PRODUCTS)
        self.supply = dict(zip(PRODUCTS, quantities, strict=False))
        for product_id, quantity in self.supply.items():
            run(self.inventory.stock(product_id, quantity))

    @rule(
        target=orders,
        lines=st.lists(
            st.tuples(st.sampled_from([*PRODUCTS[:2] * 3, PRODUCTS[2]]), st.integers(1, 8)), min_size=1, max_size=4
        ),
        minutes=st.integers(0, 30),
        trusted=st.booleans(),
    )
    def an_order_is_placed(self, lines: list[tuple[UUID, int]], minutes: int, trusted: bool) -> OrderCreated:
        self.placed += 1
        deadline = self.inventory.now + timedelta(minutes=minutes)
        order = order_created(*lines, expires_at=deadline, price_trusted=trusted)
        self.trusted[order.order_id] = trusted
        return order

    @precondition(lambda self: self.placed > 0)
    @rule(batch=st.lists(st.tuples(orders, st.sampled_from(sorted(MESSAGES))), min_size=1, max_size=6))
    def a_batch_arrives(self, batch: list[tuple[OrderCreated, str]]) -> None:
        """As the consumer does it: a batch that fails is taken one by one, and what is rejected is set aside."""
        messages = [MESSAGES[name](order) for order, name in batch]
        try:
            run(self.inventory.take(*messages))
        except Rejected:
            for message in messages:
                with suppress(Rejected):
                    run(self.inventory.take(message))

    @precondition(lambda self: self.placed > 0)
    @rule(batch=st.lists(st.tuples(orders, st.sampled_from(["created", "undone"])), min_size=1, max_size=6))
    def a_batch_is_not_committed(self, batch: list[tuple[OrderCreated, str]]) -> None:
        async def lose() -> None:
            async with self.inventory() as unit:
                await unit.start()
                await handle_events([received(MESSAGES[name](order)) for order, name in batch], unit)
                raise ConnectionLost

        published = len(self.inventory.published)
        with pytest.raises(ConnectionLost):
            run(lose())
        assert len(self.inventory.published) == published

    @rule(product_id=st.sampled_from(PRODUCTS[:2]), quantity=st.integers(0, 20))
    def stock_is_set(self, product_id: UUID, quantity: int) -> None:
        self.supply[product_id] += quantity - self.inventory.quantities(product_id)[0]
        run(self.inventory.stock(product_id, quantity))

    @rule(product_id=st.sampled_from(PRODUCTS[:2]), price=st.sampled_from([None, PRICE, Decimal(20)]))
    def a_price_is_set(self, product_id: UUID, price: Decimal | None) -> None:
        self.prices[product_id] = price
        run(self.inventory.stock(product_id, self.inventory.quantities(product_id)[0], price))

    @rule(minutes=st.integers(1, 60))
    def time_passes(self, minutes: int) -> None:
        self.inventory.pass_time(timedelta(minutes=minutes))
        run(self.inventory.remind())

    @invariant()
    def every_piece_is_free_or_held_or_sold(self) -> None:
        held = self._pieces(Status.HELD)
        sold = self._pieces(Status.SOLD)
        for product_id, supply in self.supply.items():
            available, reserved = self.inventory.quantities(product_id)
            assert available >= 0
            assert reserved == held[product_id]
            assert available + reserved + sold[product_id] == supply

    @invariant()
    def every_reservation_goes_a_way_that_it_may(self) -> None:
        for order_id, reservation in self.inventory.reservations().items():
            before = self.seen.get(order_id)
            assert reservation.status is before or reservation.status in WAYS.get(before, ())
            if before is None and reservation.status in {Status.HELD} | ENDS:
                prices = {self.prices[line.product_id] for line in reservation.items or ()}
                assert prices <= ({PRICE, None} if self.trusted[order_id] else {PRICE})
            self.seen[order_id] = reservation.status
        assert self.seen.keys() == self.inventory.reservations().keys()

    def teardown(self) -> None:
        """Once every order is decided nothing is held."""
        if hasattr(self, "inventory"):
            for order_id in self.inventory.reservations():
                run(self.inventory.take(undone(order_created((PRODUCTS[0], 1), order_id=order_id))))
            assert not self._pieces(Status.HELD)
            self.every_piece_is_free_or_held_or_sold()

    def _pieces(self, status: Status) -> Counter[UUID]:
        sums: Counter[UUID] = Counter()
        for reservation in self.inventory.reservations().values():
            for line in reservation.items or () if reservation.status is status else ():
                sums[line.product_id] += line.quantity
        return sums


TestStockIsConserved = StockIsConserved.TestCase
TestStockIsConserved.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
