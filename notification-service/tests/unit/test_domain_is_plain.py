"""import-linter holds the layers apart; what it can't say is "the standard library only"."""

import ast
import sys
from pathlib import Path

import pytest

DOMAIN = Path(__file__).parents[2] / "domain"


def imported_by(module: Path) -> set[str]:
    """The top-level packages that a module imports, at its head or anywhere within."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("domain" if node.level else (node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("module", sorted(DOMAIN.rglob("*.py")), ids=lambda module: module.name)
def test_the_domain_imports_nothing_but_itself_and_the_standard_library(module: Path) -> None:
    assert imported_by(module) - sys.stdlib_module_names <= {"domain"}


def test_there_is_a_domain_to_look_at() -> None:
    assert (DOMAIN / "notification.py").exists()
