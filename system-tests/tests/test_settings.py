"""A copy of .env.example to .env changes nothing, and a line of it that is changed does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from operations.addresses import ROLES, SERVICES
from system import ROOT

EXAMPLE = (ROOT / ".env.example").read_text()
NAMED = {"DATABASE_URL": "postgresql+asyncpg://a:b@c:1/d", "RABBITMQ_URL": "amqp://a:b@c:2/"}
LOAD = """
import sys
from pathlib import Path
from chassis.runtime import settings
from settings import Settings
settings.DOTENV = Path(sys.argv[1])
print(settings.load(Settings).model_dump_json())
"""
LOCAL = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import layout, ports
layout.ROOT = Path(sys.argv[2])
print(json.dumps([layout.setting("RUN_WITH"), {name: ports.named(name) for name in layout.PORTS}]))
"""


def variables() -> set[str]:
    """All that the file names, as lines or as comments."""
    lines = (line.removeprefix("# ").partition("=") for line in EXAMPLE.splitlines())
    return {name for name, separator, _ in lines if separator and name.isupper() and " " not in name}


def run(code: str, *arguments: str | Path, folder: Path = ROOT, **environment: str) -> Any:
    own = folder / ".venv" / "bin" / "python"
    clean = {name: value for name, value in os.environ.items() if name not in variables()}
    done = subprocess.run(
        [str(own) if own.exists() else sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_finds_in_it_what_it_does_without_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "example").write_text(EXAMPLE)
    without = run(LOAD, tmp_path / "nowhere", folder=ROOT / name, **NAMED)
    assert run(LOAD, tmp_path / "example", folder=ROOT / name, **NAMED) == without

    (tmp_path / "changed").write_text(EXAMPLE.replace("LOG_LEVEL=INFO", "LOG_LEVEL=ERROR"))
    assert run(LOAD, tmp_path / "changed", folder=ROOT / name, **NAMED) == without | {"log_level": "ERROR"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_takes_its_servers_from_its_lines(name: str, tmp_path: Path) -> None:
    lines = EXAMPLE.replace("# DATABASE_URL=", "DATABASE_URL=").replace("# RABBITMQ_URL=", "RABBITMQ_URL=")
    (tmp_path / "addresses").write_text(lines)
    ports = EXAMPLE.replace("# POSTGRES_PORT=", "POSTGRES_PORT=").replace("# RABBITMQ_PORT=", "RABBITMQ_PORT=")
    (tmp_path / "ports").write_text(ports)
    for file in ("addresses", "ports"):
        found = run(LOAD, tmp_path / file, folder=ROOT / name)
        assert found["rabbitmq_url"] == "amqp://admin:admin@localhost:5672/"
        if name in ROLES:
            assert found["database_url"] == "postgresql+asyncpg://postgres:postgres@localhost:5432/order_processing"


def test_make_finds_in_it_what_it_does_without_it(tmp_path: Path) -> None:
    scripts = ROOT / "deploy" / "local"
    without = run(LOCAL, scripts, tmp_path)
    (tmp_path / ".env").write_text(EXAMPLE)
    assert run(LOCAL, scripts, tmp_path) == without
    (tmp_path / ".env").write_text(
        "\n".join(line.removeprefix("# ") for line in EXAMPLE.splitlines() if "_PORT=" in line)
    )
    assert run(LOCAL, scripts, tmp_path) == without
