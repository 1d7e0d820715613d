"""What every adapter of the port PaymentGateway has to pass, and what the simulated one promises besides."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from application.ports import PaymentGateway
from domain.attempt import Answer, Attempt, Kind, Reply
from infrastructure.simulated_gateway import SimulatedGateway
from tests.gateway import FakeGateway
from tests.messages import CUSTOMER, an_attempt

DECLINED, FAILING, FORGETFUL = (UUID(f"00000000-0000-4000-8000-00000000000{number}") for number in (1, 2, 3))


def simulated(success: float = 1, decline: float = 0, timeout: float = 0) -> SimulatedGateway:
    return SimulatedGateway(success_rate=success, decline_rate=decline, timeout_rate=timeout)


GATEWAYS: dict[str, Callable[[], PaymentGateway]] = {
    "simulated": lambda: simulated(0.5, 0.25),
    "simulated, losing answers": lambda: simulated(0.5, 0.25, 0.5),
    "fake": FakeGateway,
}


@pytest.fixture(params=GATEWAYS)
def gateway(request: pytest.FixtureRequest) -> PaymentGateway:
    return GATEWAYS[request.param]()


@pytest.fixture(params=[CUSTOMER, DECLINED, FAILING, FORGETFUL], ids=["usual", "declined", "failing", "forgetful"])
def customer_id(request: pytest.FixtureRequest) -> UUID:
    return UUID(str(request.param))


async def known(gateway: PaymentGateway, attempt: Attempt) -> Answer:
    for _ in range(10):
        if (answer := (await gateway.ask(attempt)).answer) is not Answer.UNKNOWN:
            return answer
    raise AssertionError("never answers")


async def test_a_gateway_repeats_a_keys_first_answer_for_ever(gateway: PaymentGateway, customer_id: UUID) -> None:
    for number in range(20):
        attempt = an_attempt(customer_id, key=f"payment:{number}")
        first = await known(gateway, attempt)
        assert {(await gateway.ask(attempt)).answer for _ in range(5)} == {first}


async def test_a_gateway_answers_the_key_and_not_the_caller(gateway: PaymentGateway, customer_id: UUID) -> None:
    """Another worker, with a lease of its own, asks for the same charge."""
    for number in range(20):
        key = f"payment:{number}"
        first = await known(gateway, an_attempt(customer_id, key=key))
        assert (await gateway.ask(an_attempt(customer_id, key=key))).answer == first


async def test_a_gateway_gives_askers_at_the_same_time_one_answer(gateway: PaymentGateway, customer_id: UUID) -> None:
    attempt = an_attempt(customer_id)
    answers = {reply.answer for reply in await asyncio.gather(*(gateway.ask(attempt) for _ in range(10)))}
    assert len(answers - {Answer.UNKNOWN}) == 1


async def test_a_gateway_refunds_whoever_was_charged(gateway: PaymentGateway, customer_id: UUID) -> None:
    assert await known(gateway, an_attempt(customer_id, Kind.REFUND, f"{uuid4()}:refund")) is Answer.DONE


async def test_the_simulated_rates_are_met() -> None:
    gateway = simulated(0.6, 0.1, 0.2)
    attempts = [an_attempt(key=f"payment:{number}") for number in range(4_000)]
    first = Counter([(await gateway.ask(attempt)).answer for attempt in attempts])
    final = Counter([(await gateway.ask(attempt)).answer for attempt in attempts])
    assert first[Answer.UNKNOWN] / 4_000 == pytest.approx(0.2, abs=0.03)
    assert final[Answer.DONE] / 4_000 == pytest.approx(0.6, abs=0.03)
    assert final[Answer.DECLINED] / 4_000 == pytest.approx(0.1, abs=0.03)
    assert final[Answer.ERROR] / 4_000 == pytest.approx(0.3, abs=0.03)
    assert final[Answer.UNKNOWN] == 0


async def test_every_kind_of_answer_may_be_lost() -> None:
    gateway = simulated(0.5, 0.25, 0.2)
    attempts = [an_attempt(key=f"payment:{number}") for number in range(200)]
    lost = [attempt for attempt in attempts if (await gateway.ask(attempt)).answer is Answer.UNKNOWN]
    assert {(await gateway.ask(attempt)).answer for attempt in lost} == {Answer.DONE, Answer.DECLINED, Answer.ERROR}


@pytest.mark.parametrize(
    ("rates", "answer"), [((1, 0), Answer.DONE), ((0, 1), Answer.DECLINED), ((0, 0), Answer.ERROR)]
)
async def test_a_rate_of_all_or_nothing_is_exact(rates: tuple[float, float], answer: Answer) -> None:
    gateway = simulated(*rates)
    assert {(await gateway.ask(an_attempt())).answer for _ in range(500)} == {answer}


async def test_the_simulated_outcome_is_drawn_from_the_key_alone() -> None:
    attempts = [an_attempt(key=f"payment:{number}") for number in range(50)]
    restarted = simulated(0.5, 0.25)
    assert [(await simulated(0.5, 0.25).ask(attempt)).answer for attempt in attempts] == [
        (await restarted.ask(attempt)).answer for attempt in reversed(attempts)
    ][::-1]


@pytest.mark.parametrize("answer", [Answer.UNAVAILABLE, Answer.UNKNOWN])
async def test_during_an_outage_nothing_is_processed(answer: Answer) -> None:
    gateway, attempt = simulated(timeout=1), an_attempt(FORGETFUL)
    gateway.outage = Reply(answer, timedelta(seconds=7))
    assert [await gateway.ask(attempt) for _ in range(3)] == [gateway.outage] * 3
    gateway.outage = None
    assert [(await gateway.ask(attempt)).answer for _ in range(2)] == [Answer.UNKNOWN, Answer.DONE]


async def test_a_refund_is_never_declined() -> None:
    gateway = simulated(1)
    gateway.outage = Reply(Answer.DECLINED)
    refund = replace(an_attempt(), kind=Kind.REFUND)
    assert (await gateway.ask(refund)).answer is Answer.DONE
    assert (await gateway.ask(an_attempt())).answer is Answer.DECLINED


async def test_each_retry_is_drawn_anew() -> None:
    gateway = simulated(0.5)
    assert len({(await gateway.ask(an_attempt(key=f"payment:{number}"))).answer for number in range(50)}) == 2


async def test_a_lost_answer_is_lost_once() -> None:
    gateway = simulated(timeout=1)
    attempt = an_attempt()
    assert [(await gateway.ask(attempt)).answer for _ in range(4)] == [Answer.UNKNOWN, *[Answer.DONE] * 3]


@pytest.mark.parametrize(
    ("customer_id", "answers"),
    [
        (DECLINED, [Answer.DECLINED] * 3),
        (FAILING, [Answer.ERROR] * 3),
        (FORGETFUL, [Answer.UNKNOWN, Answer.DONE, Answer.DONE]),
    ],
)
@pytest.mark.parametrize("success", [0, 1])
async def test_three_customers_are_predictable_whatever_the_rates(
    success: float, customer_id: UUID, answers: list[Answer]
) -> None:
    gateway, attempt = simulated(success), an_attempt(customer_id)
    assert [(await gateway.ask(attempt)).answer for _ in range(3)] == answers
    assert (await gateway.ask(an_attempt(customer_id, key=f"{uuid4()}:2"))).answer == answers[0]


async def test_the_forgetful_customers_refund_is_not_lost() -> None:
    assert (await simulated().ask(an_attempt(FORGETFUL, Kind.REFUND, f"{uuid4()}:refund"))).answer is Answer.DONE
