"""Payments under everything that can go wrong at once: workers that die or come too late, requests and answers that are
lost or delayed, commits that fail, orders undone at any moment. At most one charge lives, and everything ends."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from chassis.testing import received
from hypothesis import given, settings
from hypothesis import strategies as st

from application.messages import InventoryReserved, OrderUndone
from domain.attempt import Answer, Attempt, Kind, Reply
from domain.payment import Payment, Status
from infrastructure import breaker, gateway_calls
from tests.messages import reserved, undone
from tests.till import Till, turns

OPEN = {Status.PENDING, Status.PROCESSING, Status.REFUNDING}
CHARGED = {Status.COMPLETED, Status.REFUNDING, Status.REFUNDED}
TOLD = {
    Status.COMPLETED: [["PaymentProcessed"]],
    Status.FAILED: [["PaymentFailed"]],
    Status.REFUNDING: [[], ["PaymentProcessed"]],
    Status.REFUNDED: [["PaymentRefunded"], ["PaymentProcessed", "PaymentRefunded"]],
}
T = TypeVar("T")


@dataclass(eq=False)
class Call:
    """A request on its way to the gateway, and its answer on the way back."""

    attempt: Attempt
    answered: asyncio.Future[Answer]


class ModelGateway:
    """Keeps the keys as a real gateway does: whoever brings one first settles it. A refund is done in the end."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.outcomes: dict[str, Answer] = {}
        self.keys: dict[UUID, list[str]] = {}
        self.wrong: list[str] = []

    async def ask(self, attempt: Attempt) -> Reply:
        self._judge(attempt)
        call = Call(attempt, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        return Reply(await call.answered)

    def settle(self, call: Call, outcome: Answer) -> None:
        key = call.attempt.idempotency_key
        if call.attempt.kind is Kind.CHARGE or outcome is Answer.DONE:
            self.outcomes.setdefault(key, outcome)

    def refuse(self, call: Call) -> None:
        self.calls.remove(call)
        call.answered.set_result(Answer.UNAVAILABLE)

    def waiting(self) -> list[Call]:
        return [call for call in self.calls if not call.answered.done()]

    def given_up(self) -> list[Call]:
        return [call for call in self.calls if call.answered.done()]

    def outcomes_of(self, payment_id: UUID) -> list[Answer | None]:
        """Of each key that was settled, or may be by a request that is still on its way (None)."""
        on_their_way = {call.attempt.idempotency_key for call in self.calls}
        keys = self.keys.get(payment_id, [])
        return [self.outcomes.get(key) for key in keys if key in self.outcomes or key in on_their_way]

    def charges(self, payment_id: UUID) -> int:
        return self.outcomes_of(payment_id).count(Answer.DONE)

    def is_refunded(self, payment_id: UUID) -> bool:
        return f"{payment_id}:refund" in self.outcomes

    def _judge(self, attempt: Attempt) -> None:
        keys = self.keys.setdefault(attempt.payment_id, [])
        if attempt.kind is Kind.REFUND:
            if self.charges(attempt.payment_id) != 1:
                self.wrong.append(f"{attempt.idempotency_key} gives back what was not charged")
        elif attempt.idempotency_key not in keys:
            if any(self.outcomes.get(key) is not Answer.ERROR for key in keys):
                self.wrong.append(
                    f"{attempt.idempotency_key} is asked before an earlier key is known not to be charged"
                )
            keys.append(attempt.idempotency_key)


@dataclass(frozen=True)
class Step:
    """One thing that happens. `which` chooses among what is there; where there is nothing, nothing happens."""

    act: str
    till: int
    which: int
    outcome: Answer

    def __repr__(self) -> str:
        return f"{self.act}(till={self.till}, which={self.which}, outcome={self.outcome})"


class World:
    """Two replicas of the service, the gateway between their calls and its answers, and the books."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.gateway = ModelGateway()
        first = Till(self.gateway)
        self.units = first.units
        self.tills = [first, Till(self.gateway, units=first.units)]
        self.orders: list[InventoryReserved] = []
        self.known: dict[UUID, int | None] = {}
        """Of each order that the service has heard of, how many charges had reached the gateway when it was undone, or
        may have, as far as the service knew."""

    def nothing_happens(self, step: Step) -> None: ...

    def an_order_is_placed(self, step: Step) -> None:
        if len(self.orders) < 3:
            deadline = self.units.now + (timedelta(0) if step.which == 0 else timedelta(days=1))
            self.orders.append(reserved(order_id=UUID(int=len(self.orders)), expires_at=deadline))
            self._deliver(step.till, undone(self.orders[-1]) if step.which == 1 else self.orders[-1])

    def an_order_is_undone(self, step: Step) -> None:
        for order in self._chosen(self.orders, step):
            self._deliver(step.till, undone(order))

    def messages_come_again(self, step: Step) -> None:
        for order in self._chosen(self.orders, step):
            self._deliver(step.till, order, *([undone(order)] if self.known[order.order_id] is not None else []), order)

    def the_gateway_answers(self, step: Step) -> None:
        for call in self._chosen(self.gateway.waiting(), step):
            self._answer(call, step.outcome)

    def the_gateway_refuses_a_call(self, step: Step) -> None:
        for call in self._chosen(self.gateway.waiting(), step):
            self.gateway.refuse(call)
            self._run(turns())

    def a_call_times_out(self, step: Step) -> None:
        """Its request has arrived and the answer is lost, or it is still on its way."""
        for call in self._chosen(self.gateway.waiting(), step):
            if step.till:
                self.gateway.settle(call, step.outcome)
            call.answered.set_result(Answer.UNKNOWN)
            self._run(turns())

    def a_request_arrives_that_nobody_waits_for_any_more(self, step: Step) -> None:
        for call in self._chosen(self.gateway.given_up(), step):
            self._answer(call, step.outcome)

    def the_database_goes_away_before_a_commit(self, step: Step) -> None:
        async def lose(order: InventoryReserved) -> None:
            with suppress(ConnectionError):
                async with self.units() as unit:
                    await unit.start()
                    events = [received(order), received(undone(order))]
                    await self.tills[step.till].service.consumer.use_case(events, unit)
                    raise ConnectionError

        for order in self._chosen(self.orders, step):
            self._run(lose(order))

    def the_database_goes_away_before_an_answer_is_entered(self, step: Step) -> None:
        with self.tills[0].database_away():
            self.the_gateway_answers(step)

    def the_processes_die(self, step: Step) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self._run(turns())
        for till in self.tills:
            till.restart(self.gateway)

    def something_is_due(self, step: Step) -> None:
        """A retry, or the end of a lease: a worker that is only slow is then given up. Meanwhile an open breaker may
        become half open."""
        self.units.now = max([self.units.now + timedelta(seconds=1), *sorted(self._due())[:1]])
        self._run(self.tills[step.till].charge())

    def all_works_again(self, outcome: Answer) -> None:
        """Until everything has ended, which it must."""
        for turn in range(300):
            for call in list(self.gateway.calls):
                self._answer(call, Answer.DONE if call.attempt.kind is Kind.REFUND else outcome)
            if not self._due():
                return
            self.something_is_due(Step("", turn % 2, 0, outcome))
        raise AssertionError(f"still not ended: {self._payments()}")

    def close(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self._run(turns())
        self.loop.close()

    def check(self) -> None:
        assert self.gateway.wrong == []
        for payment in self._payments():
            outcomes = self.gateway.outcomes_of(payment.id)
            charges = outcomes.count(Answer.DONE)
            assert charges <= 1
            until_undone = self.known.get(payment.order_id)
            assert until_undone is None or len(outcomes) <= until_undone, "charged anew although undone"
            assert charges == (payment.status in CHARGED) or payment.status is Status.PROCESSING
            if payment.status in (Status.FAILED, Status.CANCELLED):
                assert None not in outcomes, "not known to be uncharged"
            if payment.status in (Status.PENDING, Status.VOID):
                assert outcomes == [], "asked too early"
            assert payment.status is not Status.REFUNDED or self.gateway.is_refunded(payment.id)
            assert payment.status is not Status.COMPLETED or not self.gateway.is_refunded(payment.id)
            told = [one for one in self.units.published if one.event.order_id == payment.order_id]
            assert [one.event.name for one in told if not one.repeat] in TOLD.get(payment.status, [[]])
            assert {one.event for one in told if one.repeat} <= {one.event for one in told if not one.repeat}

    def check_the_end(self) -> None:
        """Money is kept only for orders that are not undone."""
        self.check()
        assert {payment.order_id for payment in self._payments()} == set(self.known)
        for payment in self._payments():
            kept = self.gateway.charges(payment.id) - self.gateway.is_refunded(payment.id)
            assert payment.status not in OPEN
            assert kept == (payment.status is Status.COMPLETED)
            assert not kept or self.known[payment.order_id] is None

    def _deliver(self, till: int, *messages: InventoryReserved | OrderUndone) -> None:
        self._run(self.tills[till].take(*messages))
        for message in messages:
            known = self.known.setdefault(message.order_id, None)
            if known is None and isinstance(message, OrderUndone):
                payment = self.tills[0].payment(message.order_id)
                keys = self.gateway.keys.get(payment.id, [])
                reached = keys if payment.outcome_unknown else self.gateway.outcomes_of(payment.id)
                self.known[message.order_id] = len(reached)

    def _answer(self, call: Call, outcome: Answer) -> None:
        self.gateway.settle(call, outcome)
        self.gateway.calls.remove(call)
        if not call.answered.done():
            call.answered.set_result(self.gateway.outcomes.get(call.attempt.idempotency_key, outcome))
            self._run(turns())

    def _payments(self) -> list[Payment]:
        return list(self.tills[0].payments.values())

    def _due(self) -> list[datetime]:
        return [payment.due_at for payment in self._payments() if payment.due_at and payment.status in OPEN]

    def _chosen(self, things: list[T], step: Step) -> list[T]:
        return [things[step.which % len(things)]] if things else []

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        self.loop.run_until_complete(work)


ACTS = {
    World.nothing_happens: 1,
    World.an_order_is_placed: 3,
    World.an_order_is_undone: 1,
    World.messages_come_again: 1,
    World.the_gateway_answers: 4,
    World.the_gateway_refuses_a_call: 2,
    World.a_call_times_out: 1,
    World.a_request_arrives_that_nobody_waits_for_any_more: 2,
    World.the_database_goes_away_before_a_commit: 1,
    World.the_database_goes_away_before_an_answer_is_entered: 1,
    World.the_processes_die: 1,
    World.something_is_due: 6,
}
OUTCOMES = st.sampled_from([Answer.DONE, Answer.ERROR, Answer.ERROR, Answer.DECLINED])
STEPS = st.builds(
    Step,
    act=st.sampled_from([act.__name__ for act, weight in ACTS.items() for _ in range(weight)]),
    till=st.integers(0, 1),
    which=st.integers(0, 9),
    outcome=OUTCOMES,
)


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(STEPS, min_size=30, max_size=60), last_outcome=OUTCOMES)
def test_at_most_one_charge_lives_and_everything_ends(steps: list[Step], last_outcome: Answer) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway_calls, "MAX_CALLS", 3)
        patch.setattr(breaker, "CALLS", 4)
        world = World()
        try:
            for step in steps:
                getattr(world, step.act)(step)
                world.check()
            world.all_works_again(last_outcome)
            world.check_the_end()
        finally:
            world.close()
