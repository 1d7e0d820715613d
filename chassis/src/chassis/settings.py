"""Settings that every service has, read from the environment by name (`DATABASE_URL`, `RABBITMQ_URL`, ...)."""

import sys
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


def _asyncpg_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+asyncpg"):
        raise ValueError("must look like postgresql+asyncpg://user:password@host:5432/database")
    return f"postgresql+asyncpg://{rest.replace('sslmode=', 'ssl=')}"  # libpq's name for it, which asyncpg lacks


def _amqp_url(url: str) -> str:
    if not url.startswith(("amqp://", "amqps://")):
        raise ValueError("must look like amqp://user:password@host:5672/")
    return url


class ServiceSettings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    rabbitmq_url: Annotated[str, AfterValidator(_amqp_url)] = "amqp://admin:admin@localhost:5672/"
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class DatabaseSettings(ServiceSettings):
    database_url: Annotated[str, AfterValidator(_asyncpg_url)] = (
        "postgresql+asyncpg://postgres:postgres@localhost:5432/order_processing"
    )
    database_pool_size: Annotated[int, Field(ge=2, le=100)] = 10


S = TypeVar("S", bound=ServiceSettings)


def load(settings_class: type[S]) -> S:
    """The settings from the environment; a wrong one ends the process with a sentence for each, and no traceback."""
    try:
        return settings_class()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{name or 'Settings'}: {problem['msg']} (see .env.example)", file=sys.stderr)  # never the value
        raise SystemExit(2) from None
