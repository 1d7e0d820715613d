"""Where the page looks, and when it refuses to start."""

import os
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


PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://auditor_a:a-secret@localhost:1/c?sslmode=verify-full",
    "RABBITMQ_URL": "amqps://operations:a-secret@localhost:1/",
    "INTERNAL_ADDRESS": "127.0.0.1:0",
    "OIDC_ISSUER": "https://issuer.example",
    "OIDC_AUDIENCE": "order-processing",
    "OIDC_CLIENT_ID": "the-page",
    "UVICORN_SSL_CERTFILE": "tls.crt",
}


def test_it_starts_in_production_with_all_that_it_needs() -> None:
    assert started(**PRODUCTION).stderr == ""


@pytest.mark.parametrize("missing", ["OIDC_ISSUER", "OIDC_AUDIENCE", "OIDC_CLIENT_ID", "INTERNAL_ADDRESS"])
def test_production_names_what_is_missing(missing: str) -> None:
    done = started(**PRODUCTION | {missing: ""})
    assert done.returncode == 2
    assert done.stderr.startswith(f"{missing} is not set, and ENVIRONMENT=production needs it")


def test_production_refuses_a_login_that_everybody_knows() -> None:
    done = started(**PRODUCTION | {"RABBITMQ_URL": "amqp://admin:admin@localhost:1/"})
    assert done.returncode == 2
    assert done.stderr.count("RABBITMQ_URL") == 2


@pytest.mark.parametrize("missing", SERVERS)
def test_it_names_the_server_that_is_missing(missing: str) -> None:
    done = started(**{name: url for name, url in SERVERS.items() if name != missing})
    assert done.returncode == 2
    assert done.stderr.startswith(f"{missing} is not set")


def test_it_is_not_published_to_others() -> None:
    assert started(**SERVERS, BIND_ADDRESS="0.0.0.0").returncode == 2  # noqa: S104


def test_services_are_found_by_url_by_port_or_where_they_always_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if "_SERVICE_" in name]:
        monkeypatch.delenv(name)
    for name, value in (SERVERS | {"ORDER_SERVICE_URL": "http://a:1 http://b:2", "PAYMENT_SERVICE_PORT": "9"}).items():
        monkeypatch.setenv(name, value)
    assert Settings().urls == {
        "order-service": ["http://a:1", "http://b:2"],
        "inventory-service": ["http://127.0.0.1:8002"],
        "payment-service": ["http://127.0.0.1:9"],
        "notification-service": ["http://127.0.0.1:8004"],
    }


def test_health_and_metrics_are_asked_for_where_all_else_is_unless_they_are_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"ORDER_SERVICE_URL": "https://edge", "ORDER_SERVICE_INTERNAL_URL": "http://a:1 http://b:1"}
    for name, value in (SERVERS | given | {"PAYMENT_SERVICE_URL": "http://c:1"}).items():
        monkeypatch.setenv(name, value)
    found = Settings()
    assert found.urls["order-service"] == ["https://edge"]
    assert found.internal_urls["order-service"] == ["http://a:1", "http://b:1"]
    assert found.internal_urls["payment-service"] == ["http://c:1"]
