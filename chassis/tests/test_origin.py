"""Who is believed where the broker vouches for the sender of each message."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from chassis.messaging.origin import OPERATOR, Origin
from chassis.ports.events import Received
from chassis.ports.ids import uuid7
from tests.note_service import SERVICE, happened

AGAIN = {"x-routing-key": "thing.happened", "x-attempts": 2}


def origin(sender: str | None, key: str, headers: dict[str, Any] | None = None, *, verified: bool = True) -> Origin:
    message = SimpleNamespace(user_id=sender, routing_key=key, headers=headers or {})
    return Origin.of(cast(Any, message), SERVICE, verified=verified)


def event(source: str = "thing-service") -> Received:
    return Received(uuid7(), "ThingHappened", "", "", None, happened(source=source))


@pytest.mark.parametrize(
    ("found", "attempts"),
    [
        (origin("thing-service", "thing.happened"), 0),
        (origin(SERVICE, SERVICE, AGAIN), 2),
        (origin(OPERATOR, SERVICE, {"x-routing-key": "thing.happened"}), 0),
        (origin("thing-service", "thing.happened", {"x-attempts": 3}), 0),
        (origin(None, SERVICE, AGAIN, verified=False), 2),
    ],
    ids=["its publisher", "a retry", "a redrive", "its publisher, who counts attempts", "nobody, in development"],
)
def test_an_event_is_believed_from(found: Origin, attempts: int) -> None:
    assert found.contradicts(event()) is None
    assert found.attempts == attempts


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (origin(None, "thing.happened"), "by thing-service, but nobody sent it"),
        (origin("other-service", "thing.happened"), "by thing-service, but other-service sent it"),
        (origin("thing-service", "thing.vanished"), "came under the routing key thing.vanished"),
        (origin("thing-service", SERVICE, AGAIN), f"came under the routing key {SERVICE}"),
        (origin("other-service", SERVICE, AGAIN), f"came under the routing key {SERVICE}"),
        (origin(SERVICE, SERVICE), f"came under the routing key {SERVICE}"),
    ],
    ids=["nobody", "another", "another key", "as a retry of its own", "as a retry", "a retry without a key"],
)
def test_an_event_is_forged_from(found: Origin, said: str) -> None:
    assert said in str(found.contradicts(event()))


@pytest.mark.parametrize("sender", ["thing-service", SERVICE, OPERATOR])
def test_an_event_that_names_another_source_is_forged_from_anybody(sender: str) -> None:
    found = origin(sender, "thing.happened", AGAIN)
    assert found.contradicts(event(source=SERVICE)) == f"ThingHappened is published by thing-service, not by {SERVICE}"
