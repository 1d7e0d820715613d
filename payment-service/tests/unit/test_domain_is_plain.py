import ast
import sys
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2]
MODULES = sorted((SERVICE / "domain").rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
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
    assert len(MODULES) > 3
