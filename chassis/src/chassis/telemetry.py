"""Trace context (W3C Trace Context) and the metrics of what every service does, served at /metrics."""

import re
import secrets

from prometheus_client import Counter, Gauge, Histogram

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_BATCH = (1, 2, 5, 10, 20, 50, 100, 200)

REQUEST_SECONDS = Histogram(
    "http_request_duration_seconds",
    "Time to answer a request",
    ("method", "route", "status"),
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
COMMAND_BATCH_SIZE = Histogram("command_batch_size", "Commands that shared a transaction", ("command",), buckets=_BATCH)
EVENTS_PUBLISHED = Counter("events_published", "Events the broker has confirmed", ("type",))
MESSAGES_PUBLISHED = Counter("messages_published", "AMQP messages the broker has confirmed")
EVENTS_CONSUMED = Counter("events_consumed", "Events taken in", ("type",))
EVENTS_DUPLICATE = Counter("events_duplicate", "Events that the inbox knew already")
EVENTS_UNCHANGED = Counter("events_unchanged", "Events that came late or too early and changed nothing", ("type",))
REMINDERS = Counter("reminders", "What was said again because nobody had answered", ("kind",))
EVENTS_RETRIED = Counter("events_retried", "Events set aside for a later attempt")
EVENTS_DEAD_LETTERED = Counter("events_dead_lettered", "Events given to the dead-letter queue", ("reason",))
EVENT_BATCH_SIZE = Histogram("event_batch_size", "Events that shared a transaction", buckets=_BATCH)
DEAD_LETTERS = Gauge("dead_letters", "Messages in the service's dead-letter queue, those that someone looks at aside")
BROKER_CONNECTED = Gauge("broker_connected", "1 while this process is connected and a consumer of its queue, else 0")
OUTBOX_BACKLOG = Gauge("outbox_backlog", "Events in the outbox at the last sweep (at most 10,001 are counted)")
OUTBOX_AGE_SECONDS = Gauge("outbox_oldest_age_seconds", "Age of the oldest event in the outbox at the last sweep")


def new_traceparent() -> str:
    """A trace of our own, for a request that bears none."""
    drawn = secrets.token_hex(24)
    return f"00-{drawn[:32]}-{drawn[32:]}-01"


def valid_traceparent(value: str | None) -> str | None:
    """The header's value if it is a version 00 traceparent, else None: the specification says to start anew."""
    return value if value is not None and _TRACEPARENT.fullmatch(value) else None


def trace_id(traceparent: str) -> str:
    return traceparent[3:35]
