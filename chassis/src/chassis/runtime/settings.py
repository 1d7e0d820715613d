"""The settings of every service (`DATABASE_URL`, ...), from the environment, then from `.env` at the root."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

import structlog
from chassis.ports.addresses import is_loopback
from chassis.ports.identity import Trust
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DOTENV = Path(__file__).resolve().parents[4] / ".env"
"""In a clone, where the chassis is installed in place; a container image has none."""


log = structlog.get_logger()


def _asyncpg_url(url: str) -> str:
    if not url:
        return url
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+asyncpg"):
        raise ValueError("must look like postgresql+asyncpg://user:password@host:5432/database")
    return f"postgresql+asyncpg://{rest}"


def _amqp_url(url: str) -> str:
    if url and not url.startswith(("amqp://", "amqps://")):
        raise ValueError("must look like amqp://user:password@host:5672/")
    return url


def _http_url(url: str) -> str:
    if url and not (urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname):
        raise ValueError("must look like http://localhost:4318")
    return url


_CHECKS = {"database_url": _asyncpg_url, "rabbitmq_url": _amqp_url}
_LOCAL_URLS = {
    "database_url": ("postgres_port", "postgresql+asyncpg://postgres:postgres@localhost:{}/order_processing"),
    "rabbitmq_url": ("rabbitmq_port", "amqp://admin:admin@localhost:{}/"),
}
_ENCRYPTED = {"database_url": "sslmode=verify-full", "rabbitmq_url": "amqps://"}
_DEFAULT_PASSWORDS = ("", "postgres", "admin", "guest")


def unsafe(url: str, encrypted: str) -> Iterator[str]:
    """What production doesn't allow in a server's URL, in words that follow its name. `encrypted` is what makes TLS
    check authority and host name; two other parameters would make it check nothing."""
    parts = urlsplit(url)
    given = parse_qs(parts.query, keep_blank_values=True)
    required = (f"{parts.scheme}://", *(f"{name}={value}" for name, values in given.items() for value in values[-1:]))
    if encrypted not in required or given.keys() & {"ssl", "no_verify_ssl"}:
        yield f"must have {encrypted}, and nothing against it: in production every server proves who it is, by TLS"
    if parts.password in (None, *_DEFAULT_PASSWORDS, parts.username):
        yield f"has no password, or one that everybody knows: give {parts.username} one of its own"


def _content(file: Path) -> str:
    if content := file.read_text().strip():
        return content
    raise ValueError(f"{file} is empty")


class _Settings(BaseSettings):
    """Unless the secret `x` is given, it is what the file `x_file` contains."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    environment: Literal["development", "production"] = "development"

    @property
    def in_production(self) -> bool:
        return self.environment == "production"

    @model_validator(mode="before")
    @classmethod
    def _local_servers(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Adds a local server's URL if only its port is given. Kubernetes sets these names too, but not to a number."""
        ports = {url: (str(given.get(port, "")), form) for url, (port, form) in _LOCAL_URLS.items()}
        return given | {
            url: form.format(port) for url, (port, form) in ports.items() if port.isdecimal() and not given.get(url)
        }

    @model_validator(mode="before")
    @classmethod
    def _secrets(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Runs before the validator above, for which a file's content is a given URL."""
        files = {name: file for name in cls.model_fields if (file := given.get(f"{name}_file"))}
        for name, file in files.items():
            try:
                given |= {f"{name}_file": None} if given.get(name) else {name: _content(Path(file))}
            except (OSError, ValueError) as error:
                raise ValueError(f"{name.upper()}_FILE can't be read: {error}") from None
        return given

    def reader(self, name: str) -> Callable[[], str]:
        """Returns the secret when it is called. Its file, if it has one, is read anew each time; while that is missing
        or contains no valid value, the last one counts."""
        file: Path | None = getattr(self, f"{name}_file")
        last, usable = str(getattr(self, name)), True

        def read() -> str:
            nonlocal last, usable
            try:
                if file is not None:
                    url = _CHECKS[name](_content(file))
                    if self.in_production and (reasons := list(unsafe(url, _ENCRYPTED[name]))):
                        raise ValueError("; ".join(reasons))
                    last, usable = url, True
            except (OSError, ValueError) as error:
                if usable:
                    log.warning(
                        "a secret's file is unusable: its last content counts", file=str(file), reason=str(error)
                    )
                usable = False
            return last

        return read

    def refusals(self) -> Iterator[str]:
        """Why nothing may start with these settings: a sentence each, which says what to set."""
        for name in _LOCAL_URLS:
            if not getattr(self, name, "unused"):
                yield f"{name.upper()} is not set: export it, or write it into .env at the root (see .env.example)"


class PostgresSettings(_Settings):
    database_url: Annotated[str, AfterValidator(_asyncpg_url)] = ""
    database_url_file: Path | None = None
    postgres_port: str = ""


class MigrationSettings(PostgresSettings):
    database_logins: str = ""
    database_logins_file: Path | None = None


class ServiceSettings(_Settings, Trust):
    rabbitmq_url: Annotated[str, AfterValidator(_amqp_url)] = ""
    rabbitmq_url_file: Path | None = None
    rabbitmq_port: str = ""
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    container: bool = False
    """Set by the images: whoever runs one says at which address its port is published, by BIND_ADDRESS."""
    bind_address: str = "127.0.0.1"
    internal_address: Annotated[str, Field(pattern=r"^(|.+:\d{1,5})$")] = ""
    uvicorn_ssl_certfile: str = ""
    """uvicorn's own setting: the certificate that it shows its callers."""
    allow_plain_http: bool = False
    otel_exporter_otlp_endpoint: Annotated[str, AfterValidator(_http_url)] = ""
    otel_exporter_otlp_headers: str = ""
    otel_exporter_otlp_headers_file: Path | None = None
    otel_traces_sampler_arg: Annotated[float, Field(ge=0, le=1)] = 0.01

    def refusals(self) -> Iterator[str]:
        yield from super().refusals()
        if not self.in_production:
            address = self.bind_address if "bind_address" in self.model_fields_set or not self.container else ""
            if not is_loopback(address):
                yield (
                    f"BIND_ADDRESS is {address or 'not set'}, and in development nobody is checked: publish"
                    " the port at 127.0.0.1 and say so, or set ENVIRONMENT=production (see docs/security.md)"
                )
            return
        for name in ("oidc_issuer", "oidc_audience", "internal_address"):
            if not getattr(self, name):
                yield f"{name.upper()} is not set, and ENVIRONMENT=production needs it (see .env.example)"
        if not (self.uvicorn_ssl_certfile or self.allow_plain_http):
            yield (
                "UVICORN_SSL_CERTFILE and UVICORN_SSL_KEYFILE are not set, so callers would send their tokens in clear:"
                " set them, or ALLOW_PLAIN_HTTP=true where something else encrypts, such as a service mesh"
            )
        for name, encrypted in _ENCRYPTED.items():
            if url := getattr(self, name, ""):
                yield from (f"{name.upper()} {reason}" for reason in unsafe(url, encrypted))
        for name in ("oidc_issuer", "oidc_discovery_url"):
            if not (getattr(self, name) or "https://").startswith("https://") and not self.allow_development_issuer:
                yield (
                    f"{name.upper()} must begin with https://; ALLOW_DEVELOPMENT_ISSUER=true believes one without,"
                    " whose tokens anybody can make who reads its key"
                )
        collector = urlsplit(self.otel_exporter_otlp_endpoint)
        if collector.scheme == "http" and not is_loopback(collector.hostname or ""):
            yield (
                "OTEL_EXPORTER_OTLP_ENDPOINT must begin with https://, or name a collector on this machine, at"
                " 127.0.0.1: in production nothing leaves the machine in clear"
            )


class DatabaseSettings(PostgresSettings, ServiceSettings):
    database_pool_size: Annotated[int, Field(ge=2, le=100)] = 10


S = TypeVar("S", bound=_Settings)


def load(settings_class: type[S]) -> S:
    """Reads the settings. Ends the process with a sentence for each invalid setting and each missing server."""
    try:
        settings = settings_class(_env_file=DOTENV)
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{name or 'Settings'}: {problem['msg']} (see .env.example)", file=sys.stderr)  # never the value
        raise SystemExit(2) from None
    if refusals := "\n".join(settings.refusals()):
        print(refusals, file=sys.stderr)
        raise SystemExit(2)
    return settings
