"""Structured logs: one JSON object per line, or readable lines on a terminal.

A batch is one line at INFO; at DEBUG each event, request and SQL statement has a line of its own.
"""

import logging
import re
import sys
from contextlib import suppress
from typing import TextIO, cast

import orjson
import structlog
from chassis.runtime.settings import ServiceSettings
from structlog.typing import EventDict, Processor, WrappedLogger


class _LossyStream:
    """A stream that drops what it can't write, because a full disk must not stop the service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        with suppress(OSError):
            self._stream.write(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure(service: str, settings: ServiceSettings) -> None:
    """Sends the logs of the service and its libraries to standard output in one format."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stdout.isatty())

    def name_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_service,
    ]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    final: list[Processor] = [
        structlog.processors.format_exc_info,
        _without_rows,
        *([structlog.processors.JSONRenderer(serializer=_json)] if as_json else [_harmless, console]),
    ]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _LossyStream(sys.stdout))),
        cache_logger_on_first_use=True,
    )

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        if logging.getLogger(name).handlers:  # none where uvicorn was told not to log requests
            logging.getLogger(name).handlers = []
            logging.getLogger(name).propagate = True
    # These libraries log lost connections, which we log ourselves.
    for name in ("aio_pika", "aiormq", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request, with the URL
    if level <= logging.DEBUG:
        logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)


def _without_rows(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Cuts the row out that PostgreSQL quotes in the details of an error about a constraint."""
    if "DETAIL:" in event.get("exception", ""):
        event["exception"] = re.sub(r"(?m)^(.*DETAIL:) .*$", r"\1 (not logged)", event["exception"])
    return event


def _harmless(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escapes what could command a terminal or pass for a log line, as callers' values may. Indents tracebacks."""
    for key, value in event.items():
        if isinstance(value, str):
            lines = value.split("\n") if key == "exception" else [value]
            event[key] = "\n  ".join(map(_printable, lines))
    return event


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _json(value: object, **_: object) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
