"""Mistakes with money."""

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from simulation.mutations.registry import module, mutation, unnoticed_conflicts
from simulation.scenario import PAYMENT


def _payment() -> Any:
    return module("domain.payment").Payment


@mutation("refunded twice: each attempt to refund under a key of its own", PAYMENT)
def refund_twice() -> None:
    begin = _payment().begin_attempt

    def begin_anew(self: Any, lease: Any, now: Any) -> Any:
        attempt = begin(self, lease, now)
        return replace(attempt, idempotency_key=f"{self.id}:refund-{lease}") if attempt.kind == "refund" else attempt

    _payment().begin_attempt = begin_anew


@mutation("a fresh key after an unknown outcome", PAYMENT)
def fresh_key() -> None:
    apply = _payment().apply

    def apply_and_count(self: Any, attempt: Any, answer: Any, delays: Any, now: Any) -> Any:
        counted = apply(self, attempt, answer, delays, now)
        if counted and answer == "unknown" and attempt.kind == "charge":
            self.charge_number += 1
        return counted

    _payment().apply = apply_and_count


@mutation("an unknown outcome counted as a retry", PAYMENT)
def unknown_counts() -> None:
    apply = _payment().apply

    def apply_and_give_up(self: Any, attempt: Any, answer: Any, delays: Any, now: Any) -> Any:
        counted = apply(self, attempt, answer, delays, now)
        if counted and answer == "unknown" and attempt.kind == "charge" and self.attempts > len(delays):
            self.outcome_unknown = False
            self._fail("payment-retries-exhausted", now)
        return counted

    _payment().apply = apply_and_give_up


@mutation("a time-out taken for a decline", PAYMENT)
def timeout_declines() -> None:
    apply = _payment().apply

    def apply_as_declined(self: Any, attempt: Any, answer: Any, delays: Any, now: Any) -> Any:
        declined = module("domain.attempt").Answer.DECLINED
        return apply(self, attempt, declined if answer == "unknown" else answer, delays, now)

    _payment().apply = apply_as_declined


@mutation("an expired lease taken for nothing in flight: the next attempt has a fresh key", PAYMENT)
def expired_lease_is_nothing() -> None:
    begin = _payment().begin_attempt

    def begin_after_nothing(self: Any, lease: Any, now: Any) -> Any:
        if self.lease is not None and self.status == "processing":
            self.charge_number += 1
        return begin(self, lease, now)

    _payment().begin_attempt = begin_after_nothing


@mutation("an expired lease taken for nothing in flight: an undone order's payment is cancelled", PAYMENT)
def expired_lease_cancels() -> None:
    undo = _payment().undo

    def undo_at_once(self: Any, reason: str, now: Any) -> Any:
        if self.status == "processing" and self.lease is not None and self.due_at <= now:
            self.outcome_unknown, self.lease = False, None
        return undo(self, reason, now)

    _payment().undo = undo_at_once


@mutation("cancelled though the outcome of a charge is unknown", PAYMENT)
def cancelled_in_flight() -> None:
    undo = _payment().undo

    def undo_at_once(self: Any, reason: str, now: Any) -> Any:
        if self.status == "processing":
            self.outcome_unknown, self.lease = False, None
        return undo(self, reason, now)

    _payment().undo = undo_at_once


@mutation("a stale worker's answer applied", PAYMENT)
def stale_answer() -> None:
    apply = _payment().apply

    def apply_any(self: Any, attempt: Any, answer: Any, delays: Any, now: Any) -> Any:
        self.lease = attempt.lease
        return apply(self, attempt, answer, delays, now)

    _payment().apply = apply_any


@mutation(
    "an answer applied without reading the row again",
    PAYMENT,
    healed_because="the charge is reported, and the order answers that it is undone",
)
def not_read_again() -> None:
    begin = _payment().begin_attempt
    apply = _payment().apply
    remembered: dict[Any, Any] = {}

    def begin_and_remember(self: Any, lease: Any, now: Any) -> Any:
        attempt = begin(self, lease, now)
        remembered[lease] = replace(self)
        return attempt

    def apply_to_remembered(self: Any, attempt: Any, answer: Any, delays: Any, now: Any) -> Any:
        if self.lease == attempt.lease:
            for kept in fields(self):
                if kept.name not in ("events", "repeats"):
                    setattr(self, kept.name, getattr(remembered[attempt.lease], kept.name))
        return apply(self, attempt, answer, delays, now)

    _payment().begin_attempt = begin_and_remember
    _payment().apply = apply_to_remembered


@mutation("payment keeps no tombstone", PAYMENT)
def no_tombstone() -> None:
    handle_events = module("application.handle_events")
    follow = handle_events._follow

    def follow_known(payment: Any, data: Any, now: Any) -> Any:
        if not isinstance(data, handle_events.InventoryReserved) and payment.status == "new":
            return False
        return follow(payment, data, now)

    handle_events._follow = follow_known


@mutation(
    "payment prunes tombstones before their deadline",
    PAYMENT,
    healed_because="the charge is reported, and the order answers that it is undone",
)
def pruned_early() -> None:
    module("domain.payment").TOMBSTONE_KEPT = -timedelta(days=1)


@mutation("a payment that another process has added since is not noticed", PAYMENT)
def lost_insert() -> None:
    unnoticed_conflicts()


@mutation("a cancel does not refund", PAYMENT)
def no_refund() -> None:
    undo = _payment().undo

    def undo_unless_paid(self: Any, reason: str, now: Any) -> Any:
        return False if self.status == "completed" else undo(self, reason, now)

    _payment().undo = undo_unless_paid


@mutation(
    "money taken is announced although the order is undone",
    PAYMENT,
    healed_because="the order answers a PaymentProcessed with its decision, which everybody knows already",
)
def announced_and_refunded() -> None:
    payment = module("domain.payment")
    charged = payment.Payment._charged

    def charged_and_told(self: Any, now: Any) -> None:
        charged(self, now)
        if self.undone_reason is not None:
            self.events.append(payment.PaymentProcessed(self.order_id, self.customer_id, self.id, *self._money()))

    payment.Payment._charged = charged_and_told


def _silent(about: str) -> None:
    """Answers nothing to what it knows, if the payment stands like that."""
    handle_events = module("application.handle_events")
    answer = handle_events._answer
    handle_events._answer = lambda payment, data: payment.status != about and answer(payment, data)


@mutation("who asks again about a payment gets no answer", PAYMENT)
def completed_silently() -> None:
    _silent("completed")


@mutation("who asks again about a payment that failed gets no answer", PAYMENT)
def failed_silently() -> None:
    _silent("failed")


@mutation("a decision that payment has followed gets no answer", PAYMENT)
def refunded_silently() -> None:
    _silent("refunded")


def _answer(name: str) -> Any:
    return module("domain.attempt").Answer(name)


def _unavailable_is(answer: str) -> None:
    """Of an unavailable gateway, and while the breaker is open of a call that is not made at all."""
    calls = module("infrastructure.gateway_calls")
    ask = calls.BackgroundCalls._ask

    async def ask_or_pretend(self: Any, attempt: Any, era: int) -> Any:
        if self.breaker.state == module("infrastructure.breaker").State.OPEN:
            return _answer(answer)
        said = await ask(self, attempt, era)
        return _answer(answer) if said == "unavailable" else said

    calls.BackgroundCalls.room = property(lambda self: calls.MAX_CALLS - len(self._under_way))
    calls.BackgroundCalls.are_probes = False
    calls.BackgroundCalls._ask = ask_or_pretend


@mutation("an open breaker answers with an error", PAYMENT)
def open_is_error() -> None:
    _unavailable_is("error")


@mutation("an open breaker answers that the outcome is unknown", PAYMENT)
def open_is_unknown() -> None:
    _unavailable_is("unknown")


def _unavailable_applied_as(answer: str) -> None:
    apply = _payment().apply

    def apply_other(self: Any, attempt: Any, said: Any, delays: Any, now: Any) -> Any:
        return apply(self, attempt, _answer(answer) if said == "unavailable" else said, delays, now)

    _payment().apply = apply_other


@mutation("an unavailable gateway taken for an error", PAYMENT)
def unavailable_is_error() -> None:
    _unavailable_applied_as("error")


@mutation("an unavailable gateway leaves the outcome unknown", PAYMENT)
def unavailable_is_unknown() -> None:
    _unavailable_applied_as("unknown")


@mutation("a gateway that never saw the attempt settles an earlier one", PAYMENT)
def unavailable_settles() -> None:
    begin = _payment().begin_attempt
    _payment().begin_attempt = lambda self, lease, now: replace(begin(self, lease, now), outcome_was_unknown=False)


@mutation("a charge begins although its order's deadline has passed while it waited", PAYMENT)
def charged_past_deadline() -> None:
    _payment().rest_past_deadline = lambda self, now: False


@mutation("the time that the gateway names is ignored", PAYMENT)
def retry_after_ignored() -> None:
    module("infrastructure.breaker").LONGEST_RETRY_AFTER_SECONDS = 0.0


@mutation("a breaker that opens stays open", PAYMENT)
def never_half_open() -> None:
    module("infrastructure.breaker").OPEN_SECONDS = 1e9
    module("infrastructure.breaker").LONGEST_OPEN_SECONDS = 1e9


@mutation("a charge that fails tried again for ever", PAYMENT)
def never_gives_up() -> None:
    not_charged = _payment()._not_charged

    def try_again(self: Any, answer: Any, delays: Any, now: Any) -> None:
        if self.undone_reason is None:
            self.outcome_unknown = False
            self.due_at = now + timedelta(seconds=1)
            return
        not_charged(self, answer, delays, now)

    _payment()._not_charged = try_again
