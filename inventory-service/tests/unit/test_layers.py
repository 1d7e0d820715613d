"""import-linter checks the layers. These tests check what it can't: the standard library, and what an import loads."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.contracts import ROOT

SERVICE = ROOT / "inventory-service"
DOMAIN = sorted((SERVICE / "domain").rglob("*.py"))
ADAPTERS = {"fastapi", "starlette", "sqlalchemy", "asyncpg", "aio_pika", "aiormq", "alembic"}


@pytest.mark.parametrize("module", DOMAIN, ids=lambda path: path.name)
def test_the_domain_imports_only_itself_and_the_standard_library(module: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports here are absolute"
            imported.add(str(node.module).partition(".")[0])
    assert imported <= sys.stdlib_module_names | {"domain"}


def test_there_is_a_domain_to_look_at() -> None:
    assert len(DOMAIN) > 3


@pytest.mark.parametrize("room", ["domain", "application"])
def test_importing_a_use_case_loads_no_web_database_or_broker_library(room: str) -> None:
    modules = [f"{room}.{path.stem}" for path in (SERVICE / room).glob("[a-z]*.py")]
    program = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=SERVICE, capture_output=True, text=True, check=True)
    assert {room} <= set(loaded.stdout.split())
    assert not ADAPTERS & set(loaded.stdout.split())


def test_every_room_is_a_layer_that_import_linter_knows() -> None:
    linter = tomllib.loads((SERVICE / "pyproject.toml").read_text())["tool"]["importlinter"]
    [layers] = [contract["layers"] for contract in linter["contracts"] if contract["type"] == "layers"]
    rooms = {path.parent.name for path in SERVICE.glob("*/__init__.py")}
    assert {room for layer in layers for room in layer.split(" | ")} == rooms
    assert set(linter["root_packages"]) == rooms | {"chassis"}
