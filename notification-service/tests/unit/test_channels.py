"""One suite for every way to reach a customer, the fake included: what it passes, the tests may rely on."""

from collections.abc import Callable
from uuid import uuid4

import pytest
import structlog
from structlog.testing import LogCapture

from application.ports import NotificationChannel
from infrastructure import log_channel
from infrastructure.log_channel import LogChannel
from tests.channel import FakeChannel, Sent

Watched = tuple[NotificationChannel, Callable[[], list[Sent]]]


def the_log(monkeypatch: pytest.MonkeyPatch) -> Watched:
    capture = LogCapture()
    monkeypatch.setattr(log_channel, "log", structlog.wrap_logger(None, processors=[capture]))

    def lines() -> list[Sent]:
        assert {entry["event"] for entry in capture.entries} <= {"notification"}
        return [(entry["customer"], entry["subject"], entry["message"]) for entry in capture.entries]

    return LogChannel(), lines


def the_fake(_: pytest.MonkeyPatch) -> Watched:
    channel = FakeChannel()
    return channel, lambda: channel.sent


@pytest.fixture(params=[the_log, the_fake])
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Watched:
    made: Watched = request.param(monkeypatch)
    return made


def test_a_channel_has_a_name(watched: Watched) -> None:
    assert watched[0].name


@pytest.mark.parametrize("message", ["It is on its way.", "ligne\nsuivante \u2603 \x00", "x" * 10_000])
async def test_what_is_sent_arrives_once_and_whole(watched: Watched, message: str) -> None:
    channel, arrived = watched
    customer = uuid4()

    await channel.send(customer, "Your order", message)
    await channel.send(customer, "Another", message)

    assert [(str(to), subject, text) for to, subject, text in arrived()] == [
        (str(customer), "Your order", message),
        (str(customer), "Another", message),
    ]
