"""Which spans there are of the orders that share a batch, and how they hang together."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from secrets import token_hex
from time import time_ns

import pytest
from chassis.messaging.envelope import encode
from chassis.ports.events import Outgoing, Received
from chassis.ports.ids import uuid7
from chassis.runtime import spans as spans_module
from chassis.runtime.spans import SpanRecorder
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import REGISTRY
from structlog.testing import CapturingLogger
from tests.note_service import SERVICE, NoteTaken, ThingHappened
from tests.recording import Recording, links, named_in, place

SENT = "send order_events:note.taken"
PROCESSED = f"process order_events:thing.happened:{SERVICE}"


def a_trace(flags: str = "01") -> str:
    return f"00-{token_hex(16)}-{token_hex(8)}-{flags}"


def events(*traceparents: str, name: str = "ThingHappened") -> list[Received]:
    ids = [uuid7() for _ in traceparents]
    return [
        Received(uuid7(), name, str(order), trace, ThingHappened(order), None)
        for order, trace in zip(ids, traceparents, strict=True)
    ]


def a_message(*traceparents: str) -> list[Outgoing]:
    now = datetime.now(UTC)
    return [
        encode(SERVICE, NoteTaken(uuid7()), event_id=uuid7(), time=now, traceparent=trace) for trace in traceparents
    ]


async def test_a_batch_with_one_sampled_order_is_part_of_that_order_s_trace(recording: Recording) -> None:
    order, batch = a_trace(), None
    with recording.processing(SERVICE, batch := events(a_trace("00"), order, a_trace("02"))):
        pass
    [span] = recording.spans()
    assert (span.name, span.kind, place(span.parent)) == (PROCESSED, SpanKind.CONSUMER, named_in(order))
    assert links(span) == [named_in(order)]
    assert dict(span.attributes or {}) == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": f"order_events:thing.happened:{SERVICE}",
        "messaging.rabbitmq.destination.routing_key": "thing.happened",
        "messaging.batch.message_count": 3,
        "messaging.message.id": str(batch[1].id),
        "messaging.message.conversation_id": batch[1].order_id,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.resource.attributes["service.name"] == SERVICE


async def test_a_batch_with_several_has_a_trace_of_its_own_and_a_twin_in_each_of_theirs(recording: Recording) -> None:
    orders = [a_trace(), a_trace(), a_trace()]
    with recording.publishing(message := a_message(*orders, a_trace("00"))):
        pass
    shared, *twins = recording.named(SENT)
    assert len(recording.spans()) == 4
    assert (shared.kind, shared.parent) == (SpanKind.PRODUCER, None)
    assert (shared.attributes or {})["messaging.batch.message_count"] == 4
    assert links(shared) == [named_in(order) for order in orders]
    assert [(link.attributes or {})["messaging.message.id"] for link in shared.links] == [
        str(event.id) for event in message[:3]
    ]
    assert [place(twin.parent) for twin in twins] == [named_in(order) for order in orders]
    assert [(twin.attributes or {})["messaging.message.conversation_id"] for twin in twins] == [
        event.order_id for event in message[:3]
    ]
    for twin in twins:
        assert links(twin) == [place(shared)]
        assert (twin.kind, twin.start_time) == (SpanKind.PRODUCER, shared.start_time)
        assert "messaging.batch.message_count" not in (twin.attributes or {}), "it is about one message"


async def test_what_several_share_is_no_part_of_what_is_done_meanwhile(recording: Recording) -> None:
    """A message is published by a task that the batch before has started."""
    with recording.processing(SERVICE, events(a_trace())), recording.publishing(a_message(a_trace(), a_trace())):
        pass
    assert recording.named(SENT)[0].parent is None


async def test_a_lone_event_is_no_batch(recording: Recording) -> None:
    with recording.publishing(a_message(a_trace())):
        pass
    [span] = recording.spans()
    assert "messaging.batch.message_count" not in (span.attributes or {})


@pytest.mark.parametrize("flags", ["01", "00"], ids=["both sampled", "one sampled"])
async def test_events_of_several_kinds_have_no_routing_key_in_common_and_each_has_its_own(
    recording: Recording, flags: str
) -> None:
    with recording.processing(SERVICE, events(a_trace()) + events(a_trace(flags), name="OtherHappened")):
        pass
    both = [(PROCESSED, "thing.happened"), (f"process order_events:other.happened:{SERVICE}", "other.happened")]
    together = [(f"process order_events:{SERVICE}", None), *both]
    key = "messaging.rabbitmq.destination.routing_key"
    found = [(span.name, (span.attributes or {}).get(key)) for span in recording.spans()]
    destinations = [(span.attributes or {})["messaging.destination.name"] for span in recording.spans()]
    assert [f"process {destination}" for destination in destinations] == [name for name, _ in found]
    assert found == (together if flags == "01" else both[:1])


@pytest.mark.parametrize("flags", ["00", "02", "fe"])
async def test_a_batch_without_a_sampled_order_leaves_nothing(recording: Recording, flags: str) -> None:
    order = a_trace(flags)
    with recording.processing(SERVICE, events(order)), recording.publishing(a_message(order)):
        recording.transaction("work", time_ns(), [order, "", "no traceparent 1"], None)
    with recording.calling("charge", order) as noted:
        noted["answer"] = "done"
    assert recording.spans() == []


async def test_a_batch_has_at_most_128_links_and_every_order_its_twin(recording: Recording) -> None:
    orders = [a_trace() for _ in range(200)]
    with recording.processing(SERVICE, events(*orders)):
        pass
    shared, *twins = recording.spans()
    assert links(shared) == [named_in(order) for order in orders[:128]]
    assert sorted(str(place(twin.parent)) for twin in twins) == sorted(str(named_in(order)) for order in orders)


async def test_a_transaction_is_part_of_the_batch_that_it_is_for(recording: Recording) -> None:
    orders = [a_trace(), a_trace()]
    with recording.processing(SERVICE, events(*orders)):
        recording.transaction("handle_events", time_ns(), orders, None)
    [transaction] = recording.named("transaction handle_events")
    assert place(transaction.parent) == place(recording.named(PROCESSED)[0])
    assert (transaction.kind, transaction.attributes) == (SpanKind.CLIENT, {"db.system.name": "postgresql"})


async def test_a_transaction_of_its_own_is_linked_with_its_orders_each_once(recording: Recording) -> None:
    with recording.processing(SERVICE, events(a_trace())):
        pass  # the task's batch before
    began = time_ns() - 1_000_000
    alone, two = a_trace(), [a_trace(), a_trace()]
    recording.transaction("one", began, [alone, a_trace("00"), alone], None)
    recording.transaction("two", began, two, None)
    [span] = recording.named("transaction one")
    assert (place(span.parent), links(span), span.start_time) == (named_in(alone), [named_in(alone)], began)
    shared, *twins = sorted(recording.named("transaction two"), key=lambda span: span.parent is not None)
    assert (shared.parent, links(shared)) == (None, [named_in(order) for order in two])
    assert [(place(twin.parent), links(twin)) for twin in twins] == [
        (named_in(order), [place(shared)]) for order in two
    ]


async def test_what_failed_is_marked_by_the_kind_of_error_and_tells_no_more(recording: Recording) -> None:
    with suppress(ValueError), recording.processing(SERVICE, events(a_trace(), a_trace())):
        recording.transaction("handle_events", time_ns(), [], KeyError("ann@shop.test"))
        raise ValueError("ann@shop.test")
    with suppress(OSError), recording.calling("charge", a_trace()):
        raise OSError("ann@shop.test")
    with recording.calling("refund", a_trace()) as noted:
        noted |= {"payment.answer": "unknown", "error.type": "unknown"}
    found = recording.spans()
    kinds = [(span.attributes or {})["error.type"] for span in found]
    assert sorted(str(kind) for kind in kinds) == ["KeyError", "OSError", *["ValueError"] * 3, "unknown"]
    for span in found:
        assert span.status.status_code is StatusCode.ERROR
        assert "ann@shop.test" not in span.to_json()


async def test_a_call_is_part_of_the_order_s_trace_and_has_what_was_noted(recording: Recording) -> None:
    order = a_trace()
    with recording.calling("charge", order) as noted:
        noted["payment.answer"] = "done"
    [span] = recording.spans()
    assert (span.name, span.kind, place(span.parent)) == ("charge", SpanKind.CLIENT, named_in(order))
    assert (dict(span.attributes or {}), span.status.status_code) == ({"payment.answer": "done"}, StatusCode.UNSET)


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("spans_dropped_total", {"reason": reason}) or 0.0


class Collector(SpanExporter):
    """Answers when it may; takes nothing while it is away."""

    def __init__(self) -> None:
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.away = False
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.may_answer.wait()
        self.taken += 0 if self.away else len(spans)
        return SpanExportResult.FAILURE if self.away else SpanExportResult.SUCCESS


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    log = CapturingLogger()
    monkeypatch.setattr(spans_module, "log", log)
    return log


async def test_what_no_room_is_left_for_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "MAX_SPANS_WAITING", 600)
    collector, before = Collector(), dropped("queue-full")
    recorder = SpanRecorder(SERVICE, 1.0, collector)
    for _ in range(512):  # as many as make the processor export at once
        recorder.transaction("work", time_ns(), [a_trace()], None)
    collector.asked.wait()
    for _ in range(700):
        recorder.transaction("work", time_ns(), [a_trace()], None)
    assert dropped("queue-full") - before == 100
    collector.may_answer.set()
    recorder.shut_down()
    assert collector.taken == 1112


async def test_what_the_collector_does_not_take_is_counted_and_told_once(log: CapturingLogger) -> None:
    collector, before = Collector(), dropped("not-taken")
    collector.may_answer.set()
    recorder = SpanRecorder(SERVICE, 1.0, collector)

    def export_two() -> None:
        for _ in range(2):
            recorder.transaction("work", time_ns(), [a_trace()], None)
        recorder._provider.force_flush()

    collector.away = True
    export_two()
    export_two()
    collector.away = False
    export_two()
    export_two()
    assert dropped("not-taken") - before == 4
    assert [(call.method_name, call.args) for call in log.calls] == [
        ("warning", ("traces not exported; orders go on",)),
        ("warning", ("traces are exported again",)),
    ]
    recorder.shut_down()


async def test_stopping_exports_what_is_left_and_waits_for_no_silent_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector()
    collector.may_answer.set()
    recorder = SpanRecorder(SERVICE, 1.0, collector)
    recorder.transaction("work", time_ns(), [a_trace()], None)
    await recorder.stop()
    assert collector.taken == 1

    monkeypatch.setattr(spans_module, "STOPPED_WITHIN_SECONDS", 0.05)
    silent = Collector()
    recorder = SpanRecorder(SERVICE, 1.0, silent)
    recorder.transaction("work", time_ns(), [a_trace()], None)
    await recorder.stop()
    assert silent.asked.is_set()
    assert "last spans" in {thread.name for thread in threading.enumerate()}, "it waits on, and ends with the process"
    silent.may_answer.set()


async def test_a_request_is_not_sampled_while_opentelemetry_s_own_switch_is_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or events would bear the empty trace that it makes."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    recorder = SpanRecorder(SERVICE, 1.0, Collector())
    assert recorder.request(a_trace()) is None
    with recorder.processing(SERVICE, events(a_trace())):
        recorder.transaction("work", time_ns(), [a_trace()], None)
    recorder.shut_down()
