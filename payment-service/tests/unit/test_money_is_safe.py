"""Payments under everything that can go wrong at once: workers that die or come too late, requests and answers that are
lost or delayed, commits that fail, orders undone at any moment. At most one charge lives, and everything ends."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from chassis.testing import received
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from application import charge_due
from application.messages import InventoryReserved
from application.settle_payments import Answered
from domain.attempt import Answer, Attempt, Kind
from domain.payment import Payment, Status
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
MESSAGES = {"reserved": lambda order: order, "undone": undone}
BATCHES = ("reserved", "reserved", "undone")


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

    async def ask(self, attempt: Attempt) -> Answer:
        self._judge(attempt)
        call = Call(attempt, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        return await call.answered

    def settle(self, call: Call, outcome: Answer) -> None:
        key = call.attempt.idempotency_key
        if call.attempt.kind is Kind.CHARGE or outcome is Answer.DONE:
            self.outcomes.setdefault(key, outcome)

    def charges(self, payment_id: UUID) -> int:
        return sum(self.outcomes.get(key) is Answer.DONE for key in self.keys.get(payment_id, []))

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


class MoneyIsSafe(RuleBasedStateMachine):
    orders = Bundle[InventoryReserved]("orders")

    @initialize(last_outcome=st.sampled_from([Answer.DONE, Answer.ERROR, Answer.DECLINED]))
    def open_two_tills(self, last_outcome: Answer) -> None:
        self.last_outcome = last_outcome
        self.room = pytest.MonkeyPatch()
        self.room.setattr(charge_due, "MAX_ATTEMPTS_IN_FLIGHT", 3)
        self.loop = asyncio.new_event_loop()
        self.gateway = ModelGateway()
        self.tills = [Till(self.gateway), Till(self.gateway)]
        self.store = self.tills[1].store = self.tills[0].store
        self.placed = 0
        self.known: dict[UUID, bool] = {}
        """Of each order that the service has heard of, whether it was undone."""

    @rule(target=orders, minutes=st.integers(0, 30))
    def stock_is_held(self, minutes: int) -> InventoryReserved:
        deadline = self.store.now + timedelta(minutes=minutes)
        self.placed += 1
        return reserved(order_id=UUID(int=self.placed), expires_at=deadline)

    @rule(till=st.integers(0, 1), batch=st.lists(st.tuples(orders, st.sampled_from(BATCHES)), min_size=1, max_size=5))
    def a_batch_arrives(self, till: int, batch: list[tuple[InventoryReserved, str]]) -> None:
        self._run(self.tills[till].take(*(MESSAGES[name](order) for order, name in batch)))
        for order, name in batch:
            self.known[order.order_id] = self.known.get(order.order_id, False) or name == "undone"

    @rule(batch=st.lists(st.tuples(orders, st.sampled_from(BATCHES)), min_size=1, max_size=5))
    def a_batch_is_not_committed(self, batch: list[tuple[InventoryReserved, str]]) -> None:
        async def lose() -> None:
            with suppress(ConnectionError):
                async with self.store.transaction() as unit:
                    events = [received(MESSAGES[name](order)) for order, name in batch]
                    await self.tills[0].take_payments(events, unit)
                    raise ConnectionError

        self._run(lose())

    @precondition(lambda self: self.gateway.calls)
    @rule(which=st.integers(0, 30), outcome=st.sampled_from([Answer.DONE, Answer.DONE, Answer.ERROR, Answer.DECLINED]))
    def a_request_arrives(self, which: int, outcome: Answer) -> None:
        """However late, and whoever still waits for its answer."""
        self.gateway.settle(self._call(which), outcome)

    @precondition(lambda self: self.gateway.calls)
    @rule(which=st.integers(0, 30), outcome=st.sampled_from([Answer.DONE, Answer.DONE, Answer.ERROR, Answer.DECLINED]))
    def a_request_arrives_and_is_answered(self, which: int, outcome: Answer) -> None:
        self._answer(self._call(which), outcome)

    @precondition(lambda self: self.gateway.calls)
    @rule(which=st.integers(0, 30))
    def an_answer_is_lost(self, which: int) -> None:
        call = self._call(which)
        if not call.answered.done():
            call.answered.set_result(Answer.UNKNOWN)
            self._run(turns())

    @precondition(lambda self: self.gateway.calls)
    @rule(which=st.integers(0, 30), outcome=st.sampled_from([Answer.DONE, Answer.ERROR]))
    def an_answer_cannot_be_entered(self, which: int, outcome: Answer) -> None:
        async def fail(_: Answered) -> None:
            raise ConnectionError("the database is away")

        with pytest.MonkeyPatch.context() as patch:
            for till in self.tills:
                patch.setattr(till.charge_due, "_settle", fail)
            self._answer(self._call(which), outcome)

    @rule()
    def the_processes_die(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self._run(turns())
        for till in self.tills:
            till.restart(self.gateway)

    @rule(till=st.integers(0, 1), seconds=st.sampled_from([0.5, 1, 2, 4, 29, 31, 70, 1_000]))
    def time_passes(self, till: int, seconds: float) -> None:
        self.store.now += timedelta(seconds=seconds)
        self._run(self.tills[till].charge())

    @invariant()
    def no_key_is_asked_too_early(self) -> None:
        assert self.gateway.wrong == []

    @invariant()
    def at_most_one_charge_lives_and_the_payment_tells_the_truth(self) -> None:
        for payment in self._payments():
            outcomes = [self.gateway.outcomes.get(key) for key in self.gateway.keys.get(payment.id, [])]
            assert outcomes.count(Answer.DONE) == (payment.status in CHARGED) or payment.status is Status.PROCESSING
            assert outcomes.count(Answer.DONE) <= 1
            if payment.status in (Status.FAILED, Status.CANCELLED):
                assert None not in outcomes
            if payment.status in (Status.PENDING, Status.VOID):
                assert outcomes == []
            assert payment.status is not Status.REFUNDED or self.gateway.is_refunded(payment.id)
            assert payment.status is not Status.COMPLETED or not self.gateway.is_refunded(payment.id)

    @invariant()
    def what_is_told_is_what_is(self) -> None:
        for payment in self._payments():
            told = [one.event.name for one in self.store.published if one.event.order_id == payment.order_id]
            assert told in TOLD.get(payment.status, [[]])

    def teardown(self) -> None:
        """When all works again everything ends, and money is kept only for orders that are not undone."""
        if not hasattr(self, "loop"):
            return
        try:
            for _ in range(300):
                for call in list(self.gateway.calls):
                    refund = call.attempt.kind is Kind.REFUND
                    self._answer(call, Answer.DONE if refund else self.last_outcome)
                waiting = [payment.due_at for payment in self._payments() if payment.status in OPEN]
                if not waiting:
                    break
                self.store.now = max(self.store.now, min(due for due in waiting if due is not None))
                for till in self.tills:
                    self._run(till.charge())
            self._the_books_agree()
        finally:
            self.room.undo()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self._run(turns())
            self.loop.close()

    def _the_books_agree(self) -> None:
        assert {payment.order_id for payment in self._payments()} == set(self.known)
        for payment in self._payments():
            kept = self.gateway.charges(payment.id) - self.gateway.is_refunded(payment.id)
            assert payment.status not in OPEN
            assert kept == (payment.status is Status.COMPLETED)
            assert not (kept and self.known[payment.order_id])
        self.no_key_is_asked_too_early()
        self.what_is_told_is_what_is()

    def _payments(self) -> list[Payment]:
        return list(self.store.payments.committed.values())

    def _call(self, which: int) -> Call:
        return self.gateway.calls[which % len(self.gateway.calls)]

    def _answer(self, call: Call, outcome: Answer) -> None:
        self.gateway.settle(call, outcome)
        self.gateway.calls.remove(call)
        if not call.answered.done():
            call.answered.set_result(self.gateway.outcomes.get(call.attempt.idempotency_key, outcome))
            self._run(turns())

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        self.loop.run_until_complete(work)


TestMoneyIsSafe = MoneyIsSafe.TestCase
TestMoneyIsSafe.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
