"""This service's settings; every variable is described in .env.example."""

from collections.abc import Iterator
from typing import Annotated, Self

from chassis.runtime.settings import DatabaseSettings
from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

Rate = Annotated[float, Field(ge=0, le=1)]


class Settings(DatabaseSettings):
    payment_retry_delays_seconds: Annotated[tuple[Annotated[float, Field(gt=0, le=3600)], ...], NoDecode] = (1, 2, 4)
    payment_success_rate: Rate = 0.8
    payment_decline_rate: Rate = 0.0
    payment_timeout_rate: Rate = 0.0
    allow_simulated_gateway: bool = False

    def refusals(self) -> Iterator[str]:
        yield from super().refusals()
        if self.in_production and not self.allow_simulated_gateway:
            yield "The only gateway simulates charges: ALLOW_SIMULATED_GATEWAY=true takes orders that nobody pays"

    @field_validator("payment_retry_delays_seconds", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        if self.payment_success_rate + self.payment_decline_rate > 1:
            raise ValueError("PAYMENT_SUCCESS_RATE and PAYMENT_DECLINE_RATE together may be at most 1")
        return self
