"""Where spans are recorded, and that nothing is loaded for them while nobody wants any."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from aio_pika.abc import AbstractChannel
from chassis.messaging import consumer as consumer_module
from chassis.messaging import publisher as publisher_module
from chassis.messaging.broker import Broker
from chassis.messaging.topology import EXCHANGE, Queue
from chassis.ports.events import Received
from chassis.ports.ids import uuid7
from chassis.ports.tracing import trace_id
from chassis.runtime.group_commit import GroupCommit
from chassis.runtime.service import Service
from chassis.testing import eventually
from chassis.testing.access import OPEN
from chassis.testing.units import Units
from opentelemetry.trace import StatusCode
from structlog.testing import CapturingLogger
from tests.consuming import Running, orders, send
from tests.note_service import SERVICE, TRACE, Note, NotesUnitOfWork, happened, take_notes
from tests.recording import Recording, links, named_in, place
from tests.test_spans import PROCESSED, SENT, a_trace, events

TRANSACTION = "transaction handle_events"
OTHER_TRACE = TRACE.replace("4bf9", "5bf9")


async def listened_to(channel: AbstractChannel) -> None:
    """Somebody reads what the service publishes."""
    await (await channel.declare_queue("watch", durable=True)).bind(EXCHANGE, "note.taken")


async def test_an_event_is_traced_from_its_queue_to_the_next(
    recording: Recording, running: Running, channel: AbstractChannel
) -> None:
    async with running(take_notes):
        await listened_to(channel)
        await send(channel, event := happened())
        await eventually(lambda: recording.named(SENT))
    [processed], [transaction], [sent] = (recording.named(name) for name in (PROCESSED, TRANSACTION, SENT))
    assert place(processed.parent) == place(sent.parent) == named_in(TRACE)
    assert place(transaction.parent) == place(processed)
    for span in (processed, sent):
        assert (span.attributes or {})["messaging.message.conversation_id"] == event["subject"]
        assert span.status.status_code is StatusCode.UNSET


async def test_a_batch_that_fails_is_traced_and_then_each_of_its_events(
    recording: Recording, running: Running, channel: AbstractChannel
) -> None:
    first, second = happened(), happened(traceparent=OTHER_TRACE)

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        for event in events:
            unit.notes.add(Note(event.data.order_id, event.traceparent))
        if len(events) > 1:
            raise ValueError("together they fail")

    async with running(use_case):
        await send(channel, first, second)
        await eventually(lambda: len(recording.named(TRANSACTION)) == 3)
    failed, *alone = sorted(
        recording.named(TRANSACTION), key=lambda span: span.status.status_code is not StatusCode.ERROR
    )
    assert (failed.attributes or {})["error.type"] == "ValueError"
    shared, *others = recording.named(PROCESSED)
    assert place(failed.parent) == place(shared)
    assert links(shared) == [named_in(TRACE), named_in(OTHER_TRACE)]
    assert {place(span.parent) for span in alone} <= {place(span) for span in others}
    assert not any(span.status.status_code is StatusCode.ERROR for span in alone)


async def test_a_message_that_the_broker_does_not_take_is_traced_as_failed(
    recording: Recording, units: Any, publisher: publisher_module.Publisher, broker: Broker
) -> None:
    await broker.start()
    await eventually(lambda: broker.connected)
    async with units() as unit:
        await unit.start()
        unit.notes.add(Note.take(uuid7()))
        await unit.commit()
    await publisher.stop()  # it has tried, and nobody reads that event here
    [sent] = recording.named(SENT)
    assert (sent.attributes or {})["error.type"] == "Unroutable"


async def test_a_transaction_has_the_name_of_its_command_and_is_no_part_of_what_its_caller_does(
    recording: Recording,
) -> None:
    async def take(commands: Sequence[UUID], unit: NotesUnitOfWork) -> Sequence[UUID | Exception]:
        for order_id in commands:
            unit.notes.add(Note.take(order_id))
        return commands

    group = GroupCommit("take_notes", Units(NotesUnitOfWork), take)
    with recording.processing(SERVICE, events(a_trace())):
        await group.submit(uuid7())
    [span] = recording.named("transaction take_notes")
    assert place(span.parent) == named_in(TRACE)


async def test_a_transaction_has_the_name_of_its_job_and_what_was_rolled_back_is_traced_as_failed(
    recording: Recording,
) -> None:
    broker = Broker(lambda: "amqp://localhost:1/", Queue("service", []))
    units = Units(NotesUnitOfWork)
    service = Service(
        "service", unit_of_work=NotesUnitOfWork, consumed={}, database=units.database, broker=broker, guard=OPEN
    )

    async def fail(unit: NotesUnitOfWork) -> bool:
        unit.notes.add(Note.take(uuid7()))
        raise ValueError("on the way")

    service.every(7, "cleaning", fail)
    with pytest.raises(ValueError, match="on the way"):
        await service.jobs[-1].act()
    [span] = recording.named("transaction cleaning")
    assert (place(span.parent), (span.attributes or {})["error.type"]) == (named_in(TRACE), "ValueError")


async def test_each_line_about_one_order_has_its_trace(
    running: Running, channel: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(log, "is_enabled_for", lambda level: True, raising=False)
    monkeypatch.setattr(consumer_module, "log", log)
    monkeypatch.setattr(publisher_module, "log", log)
    monkeypatch.setattr(consumer_module, "RETRY_DELAYS_SECONDS", ())
    good, bad = happened(), happened()

    async def use_case(events: Sequence[Received], unit: NotesUnitOfWork) -> None:
        for event in events:
            if event.data.order_id in orders(bad):
                raise ValueError("no luck")
            unit.notes.add(Note.take(event.data.order_id))

    async with running(use_case):
        await listened_to(channel)
        await send(channel, good)
        await send(channel, bad)
        said = {"event consumed", "event published", "consumed", "published", "event dead-lettered"}
        await eventually(lambda: said <= {call.args[0] for call in log.calls})
    for call in log.calls:
        if call.args[0] in said:
            assert call.kwargs["trace_id"] == trace_id(TRACE), call


_STARTS = """
import sys
from chassis.ports import tracing
from chassis.runtime import service, tracing as configuring
from chassis.runtime.settings import ServiceSettings
configuring.configure("note-service", ServiceSettings({settings}))
print(tracing.recorder is None, "opentelemetry.sdk" in sys.modules, "google.protobuf" in sys.modules)
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [("", "True False False"), ("otel_exporter_otlp_endpoint='http://127.0.0.1:1/'", "False True True")],
)
def test_opentelemetry_is_loaded_only_for_whoever_names_an_endpoint(settings: str, said: str) -> None:
    """FastAPI loads its interfaces, but not what records or exports."""
    program = [sys.executable, "-c", _STARTS.format(settings=settings)]
    assert subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == said
