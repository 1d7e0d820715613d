"""Whatever happens to an order, in whatever order: Hypothesis looks for a sequence that breaks the arbiter's rules,
and prints the shortest one it found."""

from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from chassis.testing import received
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from application.cancel_orders import CancelOrder, cancel_orders
from application.expire_orders import expire_orders
from application.handle_events import handle_events
from domain.order import Order, TimelineEntry
from infrastructure.unit_of_work import ORDERS, OrderUnitOfWork
from tests.builders import NOON, TRACEPARENT, an_order
from tests.facts import FACTS, Fact
from tests.running import OrderUnits, ask_again

T = TypeVar("T")

WAYS = [
    [*way, *end]
    for way in (["pending"], ["pending", "confirmed"])
    for end in ([], ["failed"], ["cancelled"], ["completed"])
    if (way, end) != (["pending"], ["completed"])
]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs what never waits for anybody else, and so needs no event loop."""
    while True:
        try:
            assert coroutine.send(None) is None, "it waits for something"
        except StopIteration as done:
            result: T = done.value
            return result


class AnySequence(RuleBasedStateMachine):
    @initialize()
    def place(self) -> None:
        self.units = OrderUnits(OrderUnitOfWork)
        self.units.now = NOON
        order = an_order()
        self.order_id = order.id
        [self.created] = order.events
        run(self.units.put(ORDERS, order))
        self.seen: tuple[TimelineEntry, ...] = ()

    @property
    def order(self) -> Order:
        return self.units.kept(ORDERS)[self.order_id]

    @rule(facts=st.lists(st.sampled_from(FACTS), min_size=1, max_size=4))
    def facts_arrive(self, facts: Sequence[Fact]) -> None:
        before = len(self.units.unchanged) + len(self.units.published) + len(self.order.timeline)
        run(self.units.run(handle_events, [received(fact(self.order_id)) for fact in facts]))
        after = len(self.units.unchanged) + len(self.units.published) + len(self.order.timeline)
        assert after >= before + len(facts), "a fact left no trace at all"

    @rule()
    def the_customer_cancels(self) -> None:
        was_completed_or_failed = self.order.status in ("completed", "failed")
        [result] = run(self.units.run(cancel_orders, [CancelOrder(self.order_id)]))
        assert isinstance(result, Exception) == was_completed_or_failed

    @rule(seconds=st.integers(1, 900))
    def time_passes(self, seconds: int) -> None:
        self.units.now += timedelta(seconds=seconds)
        run(self.units.run(expire_orders))
        run(self.units.run(ask_again))

    @invariant()
    def the_past_never_changes(self) -> None:
        timeline = self.order.timeline
        assert timeline[: len(self.seen)] == self.seen
        self.seen = timeline

    @invariant()
    def the_timeline_is_a_way_that_an_order_may_go(self) -> None:
        order = self.order
        assert list(dict.fromkeys(entry.status for entry in order.timeline)) in WAYS
        assert len({entry.event for entry in order.timeline}) == len(order.timeline)
        assert [entry.at for entry in order.timeline] == sorted(entry.at for entry in order.timeline)
        assert (order.timeline[-1].status, order.timeline[-1].at) == (order.status, order.updated_at)

    @invariant()
    def each_event_is_said_for_the_first_time_once_and_all_bear_one_trace(self) -> None:
        first = [told.event.name for told in self.units.published if not told.repeat]
        steps = [entry.event for entry in self.order.timeline[1:]]
        assert first == [name for name in steps if name not in ("InventoryReleased", "PaymentRefunded")]
        assert {told.traceparent for told in self.units.published} <= {TRACEPARENT}

    @invariant()
    def what_is_said_again_is_true(self) -> None:
        said = {told.event for told in self.units.published if not told.repeat} | {self.created}
        assert {told.event for told in self.units.published if told.repeat} <= said

    @invariant()
    def an_open_order_asks_again_and_a_completed_one_does_not(self) -> None:
        order = self.order
        if not order.is_final:
            assert order.remind_at is None or order.remind_at < order.expires_at
        assert order.status != "completed" or order.remind_at is None

    @invariant()
    def no_order_outlives_its_deadline(self) -> None:
        assert self.order.is_final or self.units.now < self.order.expires_at


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=100, stateful_step_count=15, deadline=None)
