"""The envelope and its codec."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from chassis.messaging.envelope import BATCH, MAX_BODY_BYTES, MAX_EVENTS_READ, SINGLE, Unreadable, encode, join
from chassis.messaging.publisher import MAX_EVENTS_A_MESSAGE, MAX_MESSAGE_BYTES, coalesce
from chassis.ports.events import Outgoing, Received
from chassis.ports.ids import uuid7
from chassis.ports.tracing import valid_traceparent
from tests.note_service import DECODER, SERVICE, TRACE, NoteTaken, ThingHappened, happened


def test_an_event_is_a_cloudevent_with_its_own_name_and_trace() -> None:
    order_id, event_id, now = uuid7(), uuid7(), datetime(2026, 1, 2, 3, 4, 5, 678900, UTC)
    outgoing = encode(SERVICE, NoteTaken(order_id), event_id=event_id, time=now, traceparent=TRACE)
    assert orjson.loads(outgoing.body) == {
        "specversion": "1.0",
        "id": str(event_id),
        "type": "NoteTaken",
        "source": "note-service",
        "subject": str(order_id),
        "time": "2026-01-02T03:04:05.678900Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:order-processing:event:NoteTaken:1",
        "traceparent": TRACE,
        "data": {"order_id": str(order_id)},
    }
    assert outgoing.routing_key == "note.taken"


def test_what_is_said_again_says_so_and_only_true_is_taken_for_it() -> None:
    again = encode(
        SERVICE, NoteTaken(uuid7()), event_id=uuid7(), time=datetime.now(UTC), traceparent=TRACE, repeat=True
    )
    assert orjson.loads(again.body)["repeat"] is True
    for said, taken in ((True, True), (False, False), ("true", False), (1, False), (None, False)):
        (read,) = _read(orjson.dumps(happened(repeat=said)), SINGLE)
        assert read.repeat is taken
    (first,) = _read(orjson.dumps(happened()), SINGLE)
    assert first.repeat is False


def test_a_lone_event_travels_as_itself_and_several_as_a_batch_and_both_are_read() -> None:
    events = [happened() for _ in range(3)]
    bodies = [orjson.dumps(event) for event in events]
    one, many = join(bodies[:1]), join(bodies)
    assert (one[1], many[1]) == (SINGLE, BATCH)
    assert [event.order_id for event in _read(*one)] == [events[0]["subject"]]
    assert [event.order_id for event in _read(*many)] == [event["subject"] for event in events]


def test_unknown_fields_are_tolerated_and_a_broken_trace_is_replaced_by_a_new_one() -> None:
    event = happened(traceparent="00-zz", extension=1)
    event["data"] = {**event["data"], "new_field": [1]}  # type: ignore[dict-item]
    (read,) = _read(orjson.dumps(event), f"{SINGLE}; charset=utf-8")
    assert read.data == ThingHappened(UUID(read.order_id))
    assert valid_traceparent(read.traceparent) is not None


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"{", SINGLE, "not-json"),
        (b"\xff\xfe", SINGLE, "not-json"),
        (b'"\\ud800"', SINGLE, "not-json"),
        (b"[]", BATCH, "empty-batch"),
        (b"[" + b"0," * MAX_EVENTS_READ + b"0]", BATCH, "too-large"),
        (b"{}", BATCH, "not-cloudevents"),
        (b"{}", SINGLE, "not-cloudevents"),
        (b"7", SINGLE, "not-cloudevents"),
        (orjson.dumps(happened()), None, "unsupported-content-type"),
        (orjson.dumps(happened()), "application/json", "unsupported-content-type"),
        (orjson.dumps(happened(id="not a uuid")), SINGLE, "not-cloudevents"),
        (orjson.dumps(happened(id=None)), SINGLE, "not-cloudevents"),
        (orjson.dumps(happened(subject=1)), SINGLE, "not-cloudevents"),
        (orjson.dumps(happened(specversion="0.3")), SINGLE, "not-cloudevents"),
        (orjson.dumps(happened(type="Other")), SINGLE, "unknown-type"),
        (orjson.dumps(happened(data=None)), SINGLE, "invalid-data"),
        (orjson.dumps(happened(data={"order_id": 5})), SINGLE, "invalid-data"),
        (b" " * (MAX_BODY_BYTES + 1), SINGLE, "too-large"),
        (b"[" * 900 + b"]" * 900, BATCH, "not-cloudevents"),
    ],
)
def test_what_cannot_be_understood_is_returned_with_the_reason(
    body: bytes, content_type: str | None, reason: str
) -> None:
    (unreadable,) = DECODER.decode(body, content_type)
    assert isinstance(unreadable, Unreadable)
    assert unreadable.reason == reason
    assert unreadable.raw, "what was sent is kept"


def test_one_bad_event_of_a_batch_leaves_the_others_readable() -> None:
    first, bad, last = happened(), happened(type="Other"), happened()
    events = DECODER.decode(orjson.dumps([first, bad, last]), BATCH)
    assert [type(event) for event in events] == [Received, Unreadable, Received]
    assert isinstance(events[1], Unreadable)
    assert orjson.loads(events[1].raw) == bad


def test_messages_are_coalesced_by_routing_key_within_both_limits() -> None:
    def outgoing(key: str, size: int) -> Outgoing:
        return Outgoing(uuid7(), key, key, "", b"x" * size)

    small = [outgoing(key, 10) for _ in range(150) for key in ("a", "b")]
    large = [outgoing("c", 60_000) for _ in range(3)] + [outgoing("c", MAX_MESSAGE_BYTES * 2)]
    messages = coalesce([*small, *large])
    assert sorted(event.id for message in messages for event in message) == sorted(e.id for e in [*small, *large])
    for message in messages:
        assert len({event.routing_key for event in message}) == 1
        assert len(message) <= MAX_EVENTS_A_MESSAGE
        assert len(message) == 1 or len(join([event.body for event in message])[0]) <= MAX_MESSAGE_BYTES
    assert [len(message) for message in messages] == [100, 50, 100, 50, 2, 1, 1]


def _read(body: bytes, content_type: str) -> list[Any]:
    events = DECODER.decode(body, content_type)
    assert all(isinstance(event, Received) for event in events)
    return events
