"""Traces, if an OTLP endpoint is set to take them."""

import logging

import structlog
from chassis.ports import tracing
from chassis.runtime.settings import ServiceSettings

log = structlog.get_logger()


def configure(service: str, settings: ServiceSettings) -> None:
    """OpenTelemetry's other variables, such as OTEL_BSP_SCHEDULE_DELAY, count too, but from the environment alone."""
    if not settings.otel_exporter_otlp_endpoint:
        return
    # Imported here, because whoever wants no traces needn't wait for it, nor keep it in memory.
    from chassis.runtime.spans import SpanRecorder
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.util.re import parse_env_headers

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # a failure has one line of ours, not one each time
    endpoint = f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"
    exporter = OTLPSpanExporter(endpoint, headers=parse_env_headers(settings.otel_exporter_otlp_headers, liberal=True))
    tracing.recorder = SpanRecorder(service, settings.otel_traces_sampler_arg, exporter)
    log.info("recording traces", ratio=settings.otel_traces_sampler_arg)
