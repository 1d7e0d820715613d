"""This service's settings; every variable is described in .env.example."""

from chassis.runtime.settings import DatabaseSettings


class Settings(DatabaseSettings):
    pass
