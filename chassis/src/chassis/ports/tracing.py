"""Trace context: https://www.w3.org/TR/trace-context/"""

import re
import secrets

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def new_traceparent() -> str:
    """Starts a trace, for a request or an event that came without one."""
    drawn = secrets.token_hex(24)
    return f"00-{drawn[:32]}-{drawn[32:]}-01"


def valid_traceparent(value: object) -> str | None:
    """The value if it is a traceparent of version 00, else None: the specification says to start a new trace."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def trace_id(traceparent: str) -> str:
    return traceparent[3:35]
