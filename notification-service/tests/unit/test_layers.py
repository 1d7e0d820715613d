"""import-linter holds the layers apart; this file holds what it can't say."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2]
ADAPTERS = {"fastapi", "starlette", "sqlalchemy", "asyncpg", "aio_pika", "aiormq", "alembic"}
DOMAIN = sorted(SERVICE.glob("domain/**/*.py"))
USE_CASES = sorted(SERVICE.glob("application/**/*.py"))
INNER = [".".join(path.relative_to(SERVICE).with_suffix("").parts) for path in (*DOMAIN, *USE_CASES)]


def imported_by(module: Path) -> set[str]:
    """The top-level packages that a module imports, at its head or anywhere within."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("domain" if node.level else (node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("module", DOMAIN, ids=lambda module: module.name)
def test_the_domain_imports_nothing_but_itself_and_the_standard_library(module: Path) -> None:
    assert imported_by(module) - sys.stdlib_module_names <= {"domain"}


@pytest.mark.parametrize("module", INNER)
def test_importing_a_rule_or_a_use_case_loads_no_web_database_or_broker_library(module: str) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=SERVICE, capture_output=True, text=True, check=True)
    assert module in loaded.stdout.split()
    assert ADAPTERS.isdisjoint(loaded.stdout.split())


def test_every_package_of_the_service_has_its_layer() -> None:
    linter = tomllib.loads((SERVICE / "pyproject.toml").read_text())["tool"]["importlinter"]
    [layers] = [contract["layers"] for contract in linter["contracts"] if contract["type"] == "layers"]
    packages = {path.parent.name for path in SERVICE.glob("*/__init__.py")}
    assert {name for layer in layers for name in layer.split(" | ")} == packages
    assert packages | {"chassis"} == set(linter["root_packages"])


def test_there_are_modules_to_look_at() -> None:
    assert {"domain.notification", "application.send_notifications", "application.handle_events"} <= set(INNER)


def test_the_service_loads_no_database_library() -> None:
    """It has no database, and the chassis lets a service do without the room `postgres`."""
    script = "import sys, main; print(*sys.modules)"
    environment = {**os.environ, "RABBITMQ_URL": "amqp://localhost:1/"}
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=SERVICE, env=environment, capture_output=True, text=True, check=True
    )
    assert "main" in loaded.stdout.split()
    assert {"sqlalchemy", "asyncpg", "alembic", "chassis.postgres"}.isdisjoint(loaded.stdout.split())
