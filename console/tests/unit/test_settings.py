"""Where the page looks, and when it refuses to start."""

import subprocess
import sys

import pytest

from settings import Settings
from tests.unit.test_api import FOLDER

SERVERS = {"DATABASE_URL": "postgresql://a:b@localhost:1/c", "RABBITMQ_URL": "amqp://a:b@localhost:1/"}


def started(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from chassis.testing import DOTENV; import main"]
    return subprocess.run(
        command, cwd=FOLDER, env={"PATH": "", **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_starts_in_development() -> None:
    assert started(**SERVERS).returncode == 0


def test_it_refuses_production_in_a_sentence() -> None:
    done = started(**SERVERS, ENVIRONMENT="production")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "The console is for development only so far: it does not start with ENVIRONMENT=production"
    )


@pytest.mark.parametrize("missing", SERVERS)
def test_it_names_the_server_that_is_missing(missing: str) -> None:
    done = started(**{name: url for name, url in SERVERS.items() if name != missing})
    assert done.returncode == 2
    assert done.stderr.startswith(f"{missing} is not set")


def test_it_is_not_published_to_others() -> None:
    assert started(**SERVERS, BIND_ADDRESS="0.0.0.0").returncode == 2  # noqa: S104


def test_services_are_found_by_url_by_port_or_where_they_always_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SERVERS | {"ORDER_SERVICE_URL": "http://a:1 http://b:2", "PAYMENT_SERVICE_PORT": "9"}).items():
        monkeypatch.setenv(name, value)
    assert Settings().urls == {
        "order-service": ["http://a:1", "http://b:2"],
        "inventory-service": ["http://127.0.0.1:8002"],
        "payment-service": ["http://127.0.0.1:9"],
        "notification-service": ["http://127.0.0.1:8004"],
    }
