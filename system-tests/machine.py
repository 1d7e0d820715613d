"""What the tests need to know of the machine: where the clone is, and which ports are free."""

import random
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_DRAWS = 10_000
_INTERNAL_BELOW = 12_000
_drawn: set[int] = set()


def free_port() -> int:
    """A port below those that the system gives to outgoing connections, one of which could take it between two starts
    of a service; never the same twice in this process. Its internal port is free too."""
    for _ in range(_DRAWS):
        port = random.randint(20_000, 32_000)
        if port not in _drawn and is_free(port) and is_free(internal_port(port)):
            _drawn.add(port)
            return port
    raise AssertionError(f"no free port in {_DRAWS} draws")


def internal_port(port: int) -> int:
    """At which a service at this port tells of its health and metrics in production."""
    return port - _INTERNAL_BELOW


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
