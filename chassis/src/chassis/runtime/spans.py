"""Spans by OpenTelemetry: orders that share batches get a trace each (docs/decisions/0032-one-trace-an-order.md).

What orders share, a batch or a transaction, has one span. With a single sampled order in it, the span is part of that
order's trace; with several it begins a trace of its own, and each order's trace gets a twin that is linked with it. In
an order's trace the request that placed it is the parent of everything. Names are those of
https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/ (version 1.44).
"""

import asyncio
import os
import random
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from chassis.messaging.topology import EXCHANGE
from chassis.ports.events import Outgoing, Received, routing_key
from chassis.ports.tracing import is_sampled
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags, Tracer
from prometheus_client import Counter

MAX_LINKS = 128
MAX_SPANS_WAITING = 2_048
STOPPED_WITHIN_SECONDS = 5.0

SPANS_DROPPED = Counter("spans_dropped", "Spans that were recorded and not exported", ("reason",))
QUEUE_FULL, NOT_TAKEN = (SPANS_DROPPED.labels(reason) for reason in ("queue-full", "not-taken"))

log = structlog.get_logger()

DESTINATION = "messaging.destination.name"

Attributes = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Part:
    """A sampled order's part in what orders share."""

    traceparent: str
    name: str
    attributes: Attributes


class SpanRecorder:
    """The chassis's Recorder. `ratio` is the part of the requests that is sampled. It is drawn at random: if it
    followed from the trace id, as usual, callers would decide, because they may choose the id."""

    def __init__(self, service: str, ratio: float, exporter: SpanExporter) -> None:
        self._ratio = ratio
        about = {"service.name": service, "service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}
        self._provider = TracerProvider(ALWAYS_ON, Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(_Queue(_Watched(exporter)))
        self._tracer = self._provider.get_tracer("chassis")
        self._batches: dict[asyncio.Task[Any] | None, Span] = {}
        """By task. It is no context variable, because tasks that a batch starts, such as a group commit, would inherit
        it."""

    def request(self, caller: str | None) -> "_Request | None":
        if random.random() >= self._ratio:  # noqa: S311 (samples, guards nothing)
            return None
        span = self._tracer.start_span("HTTP", _below(caller), SpanKind.SERVER)
        return _Request(span) if span.is_recording() else None  # OTEL_SDK_DISABLED

    def publishing(self, message: Sequence[Outgoing]) -> AbstractContextManager[None]:
        return self._batch("send", SpanKind.PRODUCER, message)

    def processing(self, queue: str, events: Sequence[Received]) -> AbstractContextManager[None]:
        return self._batch("process", SpanKind.CONSUMER, events, queue)

    def _batch(
        self, operation: str, kind: SpanKind, events: Sequence[Outgoing | Received], queue: str | None = None
    ) -> AbstractContextManager[None]:
        sampled = [event for event in events if is_sampled(event.traceparent)]
        if not sampled:
            return nullcontext()
        parts = []
        for event in sampled:
            place = _destination(routing_key(event.type), queue)
            ids = {"messaging.message.id": str(event.id), "messaging.message.conversation_id": event.order_id}
            parts.append(_Part(event.traceparent, f"{operation} {place[DESTINATION]}", place | ids))
        keys = {routing_key(event.type) for event in events}
        place = _destination(keys.pop() if len(keys) == 1 else None, queue)
        name, what = f"{operation} {place[DESTINATION]}", ("messaging.operation.name", "messaging.operation.type")
        attributes = {"messaging.system": "rabbitmq", **dict.fromkeys(what, operation), **place}
        shared = _Shared(self._tracer, kind, name, attributes, parts, time.time_ns())
        if len(events) > 1:
            shared.span.set_attribute("messaging.batch.message_count", len(events))
        return self._during(shared)

    @contextmanager
    def _during(self, shared: "_Shared") -> Iterator[None]:
        task, error = asyncio.current_task(), None
        self._batches[task] = shared.span
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._batches.pop(task, None)
            shared.end(error)

    def transaction(self, purpose: str, began: int, traceparents: Iterable[str], error: BaseException | None) -> None:
        name, kind, attributes = f"transaction {purpose}", SpanKind.CLIENT, {"db.system.name": "postgresql"}
        if batch := self._batches.get(asyncio.current_task()):  # which is linked with the orders
            context = trace.set_span_in_context(batch, Context())
            _end(self._tracer.start_span(name, context, kind, attributes, start_time=began), error)
        elif parts := [_Part(order, name, {}) for order in dict.fromkeys(traceparents) if is_sampled(order)]:
            _Shared(self._tracer, kind, name, attributes, parts, began).end(error)

    @contextmanager
    def calling(self, what: str, traceparent: str) -> Iterator[dict[str, str]]:
        noted: dict[str, str] = {}
        if not is_sampled(traceparent):
            yield noted
            return
        span, error = self._tracer.start_span(what, _below(traceparent), SpanKind.CLIENT), None
        try:
            yield noted
        except BaseException as raised:
            error = raised
            raise
        finally:
            span.set_attributes(noted)
            _end(span, error, noted.get("error.type"))

    def shut_down(self) -> None:
        """Exports what is left, and waits for the answer."""
        self._provider.shutdown()

    async def stop(self) -> None:
        """The threads are daemons, so whatever still waits for an answer then ends with the process."""
        stopping = threading.Thread(target=self.shut_down, name="last spans", daemon=True)
        stopping.start()
        await asyncio.to_thread(stopping.join, STOPPED_WITHIN_SECONDS)


class _Request:
    def __init__(self, span: Span) -> None:
        self._span = span
        place = span.get_span_context()
        self.traceparent = f"00-{place.trace_id:032x}-{place.span_id:016x}-01"

    def end(self, method: str, route: str, status: int) -> None:
        if route != "none":  # otherwise the method, too, may be whatever the caller made up
            self._span.update_name(f"{method} {route}")
            self._span.set_attributes({"http.request.method": method, "http.route": route})
        self._span.set_attribute("http.response.status_code", status)
        _end(self._span, None, str(status) if status >= 500 or not status else None)


class _Shared:
    """The span of what orders share, and the twins of it in their traces."""

    def __init__(
        self, tracer: Tracer, kind: SpanKind, name: str, attributes: Attributes, parts: Sequence[_Part], began: int
    ) -> None:
        self._parts = parts
        self._attributes = attributes
        self._start = partial(tracer.start_span, kind=kind, start_time=began)
        links = [Link(_place(part.traceparent), part.attributes) for part in parts[:MAX_LINKS]]
        if len(parts) == 1:
            self.span = self._part(parts[0], links)
        else:
            self.span = self._start(name, Context(), attributes=attributes, links=links)

    def _part(self, part: _Part, links: Sequence[Link]) -> Span:
        attributes = {**self._attributes, **part.attributes}
        return self._start(part.name, _below(part.traceparent), attributes=attributes, links=links)

    def end(self, error: BaseException | None) -> None:
        _end(self.span, error)
        if len(self._parts) > 1:
            links = [Link(self.span.get_span_context())]
            for part in self._parts:
                _end(self._part(part, links), error)


def _destination(key: str | None, queue: str | None) -> dict[str, str]:
    """Without a key if the events have several."""
    return {
        DESTINATION: ":".join(filter(None, (EXCHANGE, key, queue))),
        **({"messaging.rabbitmq.destination.routing_key": key} if key else {}),
    }


def _end(span: Span, error: BaseException | None, kind: str | None = None) -> None:
    """Of an error only its type is noted: its message may contain a customer's data."""
    if kind := kind or (type(error).__qualname__ if error is not None else None):
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", kind)
    span.end()


def _place(traceparent: str) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), is_remote=True, trace_flags=flags)


def _below(traceparent: str | None) -> Context:
    """The context of a child of the span that the traceparent names; without one, of a new trace."""
    return trace.set_span_in_context(NonRecordingSpan(_place(traceparent)), Context()) if traceparent else Context()


class _Watched(SpanExporter):
    """Counts what isn't exported, and logs once. The processor calls it in a thread, so it holds up no order."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._exporter.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing:
            NOT_TAKEN.inc(len(spans))
        if failing != self._failing:
            log.warning("traces not exported; orders go on" if failing else "traces are exported again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Queue(BatchSpanProcessor):
    """Drops, and counts, what it has no room for; the base class would drop the oldest and say nothing."""

    def __init__(self, exporter: _Watched) -> None:
        super().__init__(exporter, MAX_SPANS_WAITING)
        self._exporter = exporter
        self._added = 0

    def on_end(self, span: ReadableSpan) -> None:
        if self._added - self._exporter.taken >= MAX_SPANS_WAITING:
            QUEUE_FULL.inc()
        else:
            self._added += 1
            super().on_end(span)
