import os
import subprocess
import sys

import pytest
from chassis.testing.layers import LayerRules


class TestLayers(LayerRules):
    pass


def test_the_service_loads_no_database_library(pytestconfig: pytest.Config) -> None:
    """It has no database, and the chassis lets a service do without its room `postgres`."""
    script = "import sys, main; print(*sys.modules)"
    environment = {**os.environ, "RABBITMQ_URL": "amqp://localhost:1/"}
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=pytestconfig.rootpath,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "main" in run.stdout.split()
    assert {"sqlalchemy", "asyncpg", "alembic", "chassis.postgres"}.isdisjoint(run.stdout.split())
