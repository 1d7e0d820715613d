"""What main.py puts together: the use cases' tests run on it too (tests/till.py)."""

from datetime import timedelta

import httpx
import pytest

from domain.attempt import Answer
from domain.payment import Status
from infrastructure.unit_of_work import PAYMENTS
from tests.gateway import FakeGateway
from tests.messages import a_payment, an_attempt
from tests.running import load_main_without_servers
from tests.till import Till

MINUTES = 60


def test_what_is_due_is_looked_for_twice_a_second_and_what_is_old_is_deleted_every_ten_minutes() -> None:
    assert {job.name: job.every_seconds for job in Till(FakeGateway()).service.jobs if job.name != "outbox sweep"} == {
        "due payments": 0.5,
        "pruning of inbox": 10 * MINUTES,
        "pruning of tombstones": 10 * MINUTES,
    }


async def test_the_service_deletes_tombstones_whose_time_has_passed_and_no_other_payment() -> None:
    till = Till(FakeGateway())
    payments = [a_payment(status, till.units.now) for status in Status if status is not Status.NEW]
    for payment in payments:
        payment.due_at = till.units.now - timedelta(seconds=1)
    await till.units.put(PAYMENTS, *payments)
    [pruning] = [job for job in till.service.jobs if job.name == "pruning of tombstones"]
    await pruning.act()
    assert {payment.status for payment in till.payments.values()} == set(Status) - {Status.NEW, Status.VOID}


@pytest.mark.parametrize(
    ("answers", "answer"),
    [("declined", Answer.DECLINED), ("error", Answer.ERROR), ("silent", Answer.UNKNOWN)],
)
async def test_in_development_the_gateway_can_be_made_to_answer_alike(
    monkeypatch: pytest.MonkeyPatch, answers: str, answer: Answer
) -> None:
    monkeypatch.setenv("PAYMENT_SUCCESS_RATE", "1")
    main = load_main_without_servers()
    client = httpx.AsyncClient(transport=httpx.ASGITransport(main.app), base_url="http://localhost")
    for body, wanted in ((answers, answer), ("normal", Answer.DONE)):
        assert (await client.post("/development/gateway", json={"answers": body})).json() == {"answers": body}
        assert (await main.gateway.ask(an_attempt())).answer is wanted
    assert (await client.post("/development/gateway", json={"answers": "odd"})).status_code == 422


@pytest.mark.parametrize(
    ("success", "decline", "lost", "answer"),
    [
        ("1", "0", "0", Answer.DONE),
        ("0", "1", "0", Answer.DECLINED),
        ("0", "0", "0", Answer.ERROR),
        ("1", "0", "1", Answer.UNKNOWN),
    ],
)
async def test_the_simulated_gateway_has_the_rates_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, success: str, decline: str, lost: str, answer: Answer
) -> None:
    for name, rate in {"SUCCESS": success, "DECLINE": decline, "TIMEOUT": lost}.items():
        monkeypatch.setenv(f"PAYMENT_{name}_RATE", rate)
    assert (await load_main_without_servers().gateway.ask(an_attempt())).answer is answer
