"""What an import of the chassis's rooms loads. import-linter reads the imports; this runs them, those of other packages
included."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHASSIS = Path(__file__).parents[1] / "src" / "chassis"
PORTS = sorted(f"chassis.ports.{path.stem}" for path in (CHASSIS / "ports").glob("[!_]*.py"))
WEB, DATABASE, BROKER = ("fastapi", "starlette"), ("sqlalchemy", "asyncpg"), ("aio_pika", "aiormq")


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages in memory after these imports in a process of their own."""
    program = f"import json, sys, {', '.join(modules)}; print(json.dumps(list(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return {name.partition(".")[0] for name in json.loads(printed)}


@pytest.mark.parametrize("module", PORTS)
def test_what_use_cases_import_loads_no_adapter_library(module: str) -> None:
    assert loaded_by(module).isdisjoint({*WEB, *DATABASE, *BROKER})


@pytest.mark.parametrize(
    ("room", "others"),
    [("http", {*DATABASE, *BROKER}), ("messaging", {*DATABASE, *WEB}), ("postgres", {*WEB, *BROKER})],
)
def test_a_room_loads_no_library_of_another(room: str, others: set[str]) -> None:
    modules = [f"chassis.{room}.{path.stem}" for path in (CHASSIS / room).glob("[!_]*.py")]
    assert loaded_by(*modules).isdisjoint(others)


def test_there_are_ports_to_look_at() -> None:
    assert {"chassis.ports.unit_of_work", "chassis.ports.errors", "chassis.ports.events"} <= set(PORTS)
    assert {"fastapi", "sqlalchemy", "aio_pika"} <= loaded_by("chassis.runtime.service")
