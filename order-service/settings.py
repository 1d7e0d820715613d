"""This service's settings; every variable is described in .env.example."""

from typing import Annotated

from chassis.runtime.settings import DatabaseSettings
from pydantic import Field


class Settings(DatabaseSettings):
    order_expires_after_seconds: Annotated[int, Field(ge=1, le=30 * 86_400)] = 900
    max_open_orders_per_customer: Annotated[int, Field(ge=0)] = 100
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
