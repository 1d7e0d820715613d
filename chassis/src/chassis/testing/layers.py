"""What import-linter can't say of a service's layers. A service's tests subclass LayerRules, and run in its folder."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ADAPTERS = {"fastapi", "starlette", "sqlalchemy", "asyncpg", "aio_pika", "aiormq", "alembic", "opentelemetry"}


class LayerRules:
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        folder = metafunc.config.rootpath
        if "module" in metafunc.fixturenames:
            domain, use_cases = (_modules(folder, layer) for layer in ("domain", "application"))
            assert domain
            assert "application.handle_events" in use_cases
            metafunc.parametrize("module", [*domain, *use_cases])

    @pytest.fixture
    def folder(self, pytestconfig: pytest.Config) -> Path:
        return pytestconfig.rootpath

    def test_the_domain_imports_nothing_but_itself_and_the_standard_library(self, folder: Path) -> None:
        for path in (folder / "domain").rglob("*.py"):
            assert _imported_by(path) - sys.stdlib_module_names <= {"domain"}, path

    def test_importing_a_rule_or_a_use_case_loads_no_web_database_or_broker_library(
        self, folder: Path, module: str
    ) -> None:
        script = f"import sys, {module}; print(*sys.modules)"
        run = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
        assert module in run.stdout.split()
        assert ADAPTERS.isdisjoint(run.stdout.split())

    def test_every_package_of_the_service_has_its_layer(self, folder: Path) -> None:
        linter = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["importlinter"]
        [layers] = [contract["layers"] for contract in linter["contracts"] if contract["type"] == "layers"]
        packages = {path.parent.name for path in folder.glob("*/__init__.py")}
        assert {name for layer in layers for name in layer.split(" | ")} == packages
        assert packages | {"chassis"} == set(linter["root_packages"])


def _modules(folder: Path, layer: str) -> list[str]:
    paths = (path.relative_to(folder).with_suffix("") for path in (folder / layer).rglob("*.py"))
    return sorted(".".join(path.parts) for path in paths)


def _imported_by(path: Path) -> set[str]:
    """The top-level packages that a module imports, at its head or anywhere within."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("domain" if node.level else (node.module or "").partition(".")[0])
    return names
