"""A recorder of spans that keeps them in memory, in place of the collector's."""

from collections.abc import Iterator

import pytest
from chassis.ports import tracing
from chassis.runtime.spans import SpanRecorder
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext


class Recording(SpanRecorder):
    """`ratio` may be changed at any time."""

    def __init__(self) -> None:
        self.memory = InMemorySpanExporter()
        super().__init__("note-service", 1.0, self.memory)

    def sample(self, ratio: float) -> None:
        self._ratio = ratio

    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their beginnings."""
        self._provider.force_flush()
        return sorted(self.memory.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.name == name]


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    recorder = Recording()
    monkeypatch.setattr(tracing, "recorder", recorder)
    yield recorder
    recorder.shut_down()


def place(span: ReadableSpan | SpanContext | None) -> tuple[str, str] | None:
    """Trace id and span id, as a traceparent has them."""
    context = span.context if isinstance(span, ReadableSpan) else span
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context else None


def named_in(traceparent: str) -> tuple[str, str]:
    _, trace, span, _ = traceparent.split("-")
    return trace, span


def links(span: ReadableSpan) -> list[tuple[str, str] | None]:
    return [place(link.context) for link in span.links]
