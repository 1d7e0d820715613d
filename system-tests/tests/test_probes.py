"""Those who ask a service for its health from outside: a container's health check, and `make up`."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from system import ROOT, free_port

HEALTHCHECK = ROOT / "deploy" / "docker" / "healthcheck.py"
ASK = "import sys, health; print(*health.ask(int(sys.argv[1])))"


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a service that says this of its health, and that anything else of it is well."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 200)
            self.end_headers()
            self.wfile.write(b'{"what": "is told"}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def nobody(_: int) -> Iterator[int]:
    yield free_port()


@pytest.mark.parametrize(
    ("service", "status", "well"),
    [(answering, 200, True), (answering, 503, False), (answering, 404, False), (nobody, 0, False)],
)
def test_a_service_is_healthy_only_if_its_health_says_so(
    service: Callable[[int], AbstractContextManager[int]], status: int, well: bool
) -> None:
    with service(status) as port:
        checked = subprocess.run(
            [sys.executable, "-IS", HEALTHCHECK, str(port)], capture_output=True, text=True, check=False, timeout=30
        )
        asked = subprocess.run(
            [sys.executable, "-c", ASK, str(port)],
            cwd=ROOT / "deploy" / "local",
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    assert (checked.returncode == 0) == well
    assert asked.stdout.split()[0] == str(status)
    if status:
        assert '{"what": "is told"}' in checked.stdout
        assert '{"what": "is told"}' in asked.stdout
