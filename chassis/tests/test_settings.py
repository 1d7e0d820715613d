"""Where settings come from, and that no server is used which nothing names."""

import contextlib
from pathlib import Path

import pytest
from chassis import testing
from chassis.runtime import settings
from chassis.runtime.settings import DatabaseSettings, MigrationSettings, PostgresSettings, ServiceSettings, load
from structlog.testing import CapturingLogger

ROOT = Path(__file__).resolve().parents[2]
URL = "postgresql+asyncpg://me:mine@somewhere:15432/mine"
BROKER = "amqp://me:mine@somewhere:15672/"
OTHER = "postgresql+asyncpg://another:theirs@elsewhere:15432/mine"
VARIABLES = sorted({name.upper() for kind in (DatabaseSettings, MigrationSettings) for name in kind.model_fields})


@pytest.fixture(autouse=True)
def dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A root of the test's own, and nothing in the environment."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(settings, "DOTENV", tmp_path / ".env")
    return tmp_path / ".env"


def test_the_file_is_the_one_at_the_root_of_this_clone_and_tests_do_not_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    assert testing.DOTENV == ROOT / ".env"
    assert not settings.DOTENV.is_file()


def test_the_environment_wins_over_the_file_and_an_empty_value_is_none(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv.write_text(f"DATABASE_URL={URL}\nRABBITMQ_URL={BROKER}\nLOG_LEVEL=WARNING\nDATABASE_POOL_SIZE=\nOTHER=1\n")
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    monkeypatch.setenv("DATABASE_URL", "")

    found = load(DatabaseSettings)

    assert (found.database_url, found.rabbitmq_url) == (URL, BROKER)
    assert (found.log_level, found.database_pool_size) == ("ERROR", 10)


@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_port_alone_names_a_server_on_this_machine_and_an_address_wins(
    place: str, dotenv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "file":
        dotenv.write_text("POSTGRES_PORT=15432\nRABBITMQ_PORT=25672\n")
    else:
        monkeypatch.setenv("POSTGRES_PORT", "15432")
        monkeypatch.setenv("RABBITMQ_PORT", "25672")

    found = load(DatabaseSettings)
    assert found.database_url == "postgresql+asyncpg://postgres:postgres@localhost:15432/order_processing"
    assert found.rabbitmq_url == "amqp://admin:admin@localhost:25672/"

    dotenv.write_text(dotenv.read_text() + f"DATABASE_URL={URL}\n" if dotenv.exists() else f"DATABASE_URL={URL}\n")
    assert load(DatabaseSettings).database_url == URL


def test_what_kubernetes_calls_a_port_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PORT", "tcp://10.0.0.1:5432")
    with pytest.raises(SystemExit):
        load(PostgresSettings)
    monkeypatch.setenv("DATABASE_URL", URL)
    assert load(PostgresSettings).database_url == URL


@pytest.mark.parametrize("file", ["", (ROOT / ".env.example").read_text()], ids=["none", "a copy of .env.example"])
def test_a_server_that_nothing_names_ends_the_process_with_a_sentence(
    file: str, dotenv: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the usual ports somebody else's system may run, whose queues a service would empty."""
    dotenv.write_text(file)
    with pytest.raises(SystemExit) as ended:
        load(DatabaseSettings)
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in sorted(said)] == ["DATABASE_URL", "RABBITMQ_URL"]
    assert all("is not set: export it, or write it into .env" in line for line in said)

    monkeypatch.setenv("DATABASE_URL", URL)
    assert load(PostgresSettings).database_url == URL, "migrations need no broker"
    monkeypatch.setenv("RABBITMQ_URL", BROKER)
    assert load(ServiceSettings).rabbitmq_url == BROKER


SECURE = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://orders:s3cret@db/orders?sslmode=verify-full",
    "RABBITMQ_URL": "amqps://order-service:s3cret@broker/",
    "OIDC_ISSUER": "https://login.shop.test",
    "OIDC_AUDIENCE": "orders",
    "INTERNAL_ADDRESS": "127.0.0.1:9001",
    "UVICORN_SSL_CERTFILE": "service.crt",
}


def refused(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said before the process ends; nothing if it goes on."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with contextlib.suppress(SystemExit):
        load(DatabaseSettings)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"OIDC_ISSUER": "http://localhost:8090", "ALLOW_DEVELOPMENT_ISSUER": "true"},
        {"UVICORN_SSL_CERTFILE": "", "ALLOW_PLAIN_HTTP": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://traces.shop.test/otlp"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
    ],
)
def test_production_starts_with_everything_set(
    changes: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(SECURE | changes, monkeypatch, capsys) == ""
    assert load(DatabaseSettings).in_production


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OIDC_ISSUER", ""),
        ("OIDC_ISSUER", "http://localhost:8090"),
        ("OIDC_AUDIENCE", ""),
        ("INTERNAL_ADDRESS", ""),
        ("UVICORN_SSL_CERTFILE", ""),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "postgresql://orders:s3cret@db/orders"),
        ("DATABASE_URL", "postgresql://orders:s3cret@db/orders?sslmode=require"),
        ("DATABASE_URL", "postgresql://orders:orders@db/orders?sslmode=verify-full"),
        ("DATABASE_URL", "postgresql://me:postgres@db/orders?sslmode=verify-full"),
        ("DATABASE_URL", "postgresql://orders:s3cret@db/orders?sslmode=verify-full&ssl=disable"),
        ("DATABASE_URL", "postgresql://orders:s3cret@db/orders?sslmode=verify-full&sslmode=disable"),
        ("DATABASE_URL", "postgresql://orders@db/orders?sslmode=verify-full"),
        ("RABBITMQ_URL", "amqps://order-service:s3cret@broker/?no_verify_ssl=1"),
        ("OIDC_DISCOVERY_URL", "http://login.shop.test/.well-known/openid-configuration"),
        ("INTERNAL_ADDRESS", "localhost"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://traces.shop.test:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "traces.shop.test:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https:///v1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[traces"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("RABBITMQ_URL", "amqp://order-service:s3cret@broker/"),
        ("RABBITMQ_URL", "amqps://order-service:admin@broker/"),
        ("ENVIRONMENT", "staging"),
    ],
)
def test_production_refuses_what_is_missing_or_known_to_everybody_and_says_what_to_set(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [said] = refused(SECURE | {name: value}, monkeypatch, capsys).splitlines()
    assert name in said
    assert "s3cret" not in said


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.7", "::", "shop.example"])  # noqa: S104
def test_development_is_not_published_to_others(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = {"DATABASE_URL": URL, "RABBITMQ_URL": BROKER}
    assert f"BIND_ADDRESS is {address}" in refused(servers | {"BIND_ADDRESS": address}, monkeypatch, capsys)
    assert "BIND_ADDRESS is not set" in refused(
        servers | {"BIND_ADDRESS": "", "CONTAINER": "true"}, monkeypatch, capsys
    )
    for local in ("127.0.0.1", "localhost", "::1"):
        assert refused(servers | {"BIND_ADDRESS": local}, monkeypatch, capsys) == ""


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with DATABASE_URL."""
    file = tmp_path / "database.url"
    file.write_text(f"{URL}\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    return file


def test_a_secret_comes_from_a_file_and_is_read_anew(secret: Path) -> None:
    found = load(PostgresSettings)
    read = found.reader("database_url")
    assert found.database_url == read() == URL
    secret.write_text(OTHER)
    assert read() == OTHER


def test_a_url_wins_over_a_file_and_a_file_over_a_port(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PORT", "15432")
    assert load(PostgresSettings).database_url == URL
    monkeypatch.setenv("DATABASE_URL", OTHER)
    assert load(PostgresSettings).reader("database_url")() == OTHER


@pytest.mark.parametrize("content", [None, "", "\n", "somewhere", b"\xff"], ids=repr)
def test_a_file_that_becomes_unusable_is_told_once_and_its_last_content_counts(
    content: str | bytes | None, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = load(PostgresSettings).reader("database_url")
    secret.write_text(OTHER)
    read()
    secret.unlink() if content is None else secret.write_bytes(
        content.encode() if isinstance(content, str) else content
    )
    log = CapturingLogger()
    monkeypatch.setattr(settings, "log", log)
    assert [read(), read()] == [OTHER, OTHER]
    assert [call.args for call in log.calls] == [("a secret's file is unusable: its last content counts",)]
    assert OTHER not in str(log.calls)

    secret.write_text(URL)
    assert read() == URL


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "DATABASE_URL_FILE can't be read: "), ("", "is empty"), ("mine", "DATABASE_URL: Value error, must look")],
)
def test_a_file_that_is_unusable_at_the_start_ends_the_process_with_a_sentence(
    content: str | None, said: str, secret: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret.unlink() if content is None else secret.write_text(content)
    with pytest.raises(SystemExit):
        load(PostgresSettings)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["postgresql://orders:s3cret@db/orders", "postgresql://orders:orders@db/orders?sslmode=verify-full"]
)
def test_in_production_a_file_that_becomes_unsafe_is_not_used(
    content: str, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe = "postgresql+asyncpg://orders:s3cret@db/orders?sslmode=verify-full"
    secret.write_text(safe)
    for name, value in SECURE.items():
        if name != "DATABASE_URL":
            monkeypatch.setenv(name, value)
    read = load(DatabaseSettings).reader("database_url")
    secret.write_text(content)
    assert read() == safe
