"""What became of an order, seen from all sides at once."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from chassis.testing import eventually

from bus import Event, Listener
from operations import books
from operations.shop import Line
from shop import Shop
from system import System

CREATED = ("OrderCreated", "pending", None)
CONFIRMED = ("OrderConfirmed", "confirmed", None)
COMPLETED = ("OrderCompleted", "completed", None)


@dataclass(frozen=True)
class Story:
    """What became of an order of which there was stock for 10."""

    timeline: list[tuple[str, str, str | None]]
    stock: tuple[int, int]
    """What is free and what is held of each product ordered."""
    reservation: str
    payment: tuple[str, str | None, int] | None
    """Its status, its reason, and how often the gateway was asked to charge."""
    told: list[str]
    events: set[str]
    """Those beside the ones that the timeline names."""


class Teller:
    """Places orders under traces of their own and tells what became of them."""

    def __init__(self, system: System, shop: Shop, listener: Listener) -> None:
        self._system = system
        self._shop = shop
        self._listener = listener
        self.product = UUID(int=0)

    async def place(self, *quantities: int, customer: UUID | None = None, products: tuple[UUID, ...] = ()) -> str:
        """An order of a new product, with a line for each quantity (or each of its own product); returns its id."""
        self.product = await self._shop.stock(10)
        lines = [
            Line(product, quantity)
            for product, quantity in zip(products or (self.product,) * len(quantities), quantities, strict=True)
        ]
        self.trace_id = uuid4().hex
        headers = {"traceparent": f"00-{self.trace_id}-00f067aa0ba902b7-01"}
        self.order = await self._shop.place(*lines, customer=customer, headers=headers)
        assert self.order["status"] == "pending"
        order_id: str = self.order["id"]
        return order_id

    async def story(self) -> Story:
        order_id = self.order["id"]
        timeline = [(line["event"], line["status"], line["reason"]) for line in await self._shop.timeline(order_id)]
        payment = await self._shop.payment(order_id)
        reservation = (await books.read(self._system.database_url)).reservations.get(UUID(order_id))
        return Story(
            timeline=timeline,
            stock=await self._shop.stock_of(self.product),
            reservation=reservation["status"] if reservation else "absent",
            payment=(payment["status"], payment["reason"], payment["attempts"]) if payment else None,
            told=sorted(await self._shop.told(self.order)),
            events={event["type"] for event in self.events()} - {event for event, _, _ in timeline},
        )

    def events(self) -> list[Event]:
        return self._listener.events_of(self.order["id"])

    async def expect(self, expected: Story) -> None:
        """Waits for the story's end, and sees that the whole order agrees with it."""

        types = {entry[0] for entry in expected.timeline} | expected.events

        def heard() -> set[str]:
            return {event["type"] for event in self.events()}

        async def as_expected() -> bool:
            return heard() == types and await self.story() == expected

        try:
            await eventually(as_expected)
        except TimeoutError:
            assert await self.story() == expected
        order = await self._shop.order(self.order["id"])
        ends = [entry for entry in expected.timeline if entry[0].startswith("Order")]
        assert (order["status"], order["reason"]) == ends[-1][1:]
        assert heard() == types
        for event in self.events():
            assert event["traceparent"][3:35] == self.trace_id, f"{event['type']} bears another trace"
