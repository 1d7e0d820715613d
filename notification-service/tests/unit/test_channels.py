"""One suite for every way to reach a customer, the fake included: what it passes, the tests may rely on."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
import structlog
from structlog.testing import LogCapture

from application.ports import NotificationChannel
from infrastructure import log_channel
from infrastructure.log_channel import LogChannel
from tests.channel import FakeChannel

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

Watched = tuple[NotificationChannel, Callable[[], list[UUID]]]


def the_log(monkeypatch: pytest.MonkeyPatch) -> Watched:
    capture = LogCapture()
    monkeypatch.setattr(log_channel, "log", structlog.wrap_logger(None, processors=[capture]))

    def customers() -> list[UUID]:
        """All that a line says: what the customer was told is nobody's business."""
        always = {"event": "notification", "log_level": "info", "trace_id": TRACEPARENT.split("-")[1]}
        expected = [always | {"customer": entry["customer"]} for entry in capture.entries]
        assert capture.entries == expected
        return [UUID(entry["customer"]) for entry in capture.entries]

    return LogChannel(), customers


def the_fake(_: pytest.MonkeyPatch) -> Watched:
    channel = FakeChannel()
    return channel, lambda: [customer for customer, _, _ in channel.sent]


@pytest.fixture(params=[the_log, the_fake])
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Watched:
    made: Watched = request.param(monkeypatch)
    return made


def test_a_channel_has_a_name(watched: Watched) -> None:
    assert watched[0].name


@pytest.mark.parametrize("message", ["It is on its way.", "ligne\nsuivante \u2603 \x00", "x" * 10_000])
async def test_each_message_goes_out_once(watched: Watched, message: str) -> None:
    channel, arrived = watched
    customer, another = uuid4(), uuid4()

    await channel.send(customer, "Your order", message, TRACEPARENT)
    await channel.send(another, "Another", message, TRACEPARENT)

    assert arrived() == [customer, another]
