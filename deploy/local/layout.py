"""Names, folders, ports and credentials: what the rest of these scripts, compose and the README agree on."""

import json
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / ".run"

_SERVICES = json.loads((ROOT / "operations" / "operations" / "services.json").read_text())
SERVICES = tuple(_SERVICES)
# Each of these migrates its own schema and logs in under its own role, whose password is its name.
DATABASE_ROLES = {name: service["schema"] for name, service in _SERVICES.items() if service["schema"]}
PROJECTS = ("chassis", *SERVICES, "operations", "console", "system-tests", "bench", "mutation")

DATABASE = "order_processing"
POSTGRES_USER = POSTGRES_PASSWORD = "postgres"  # noqa: S105 (public on purpose: decision 28)
RABBITMQ_USER = RABBITMQ_PASSWORD = "admin"  # noqa: S105 (public on purpose: decision 28)

DEFINITIONS = ROOT / "deploy" / "rabbitmq" / "definitions.json"
RABBITMQ_SETTINGS = ROOT / "deploy" / "rabbitmq" / "rabbitmq.conf"
POSTGRES_SETTINGS = ROOT / "deploy" / "postgresql" / "postgresql.conf"
POSTGRES_TLS_ONLY = ROOT / "deploy" / "postgresql" / "tls_only_hba.conf"

PORTS = {
    "postgres": ("POSTGRES_PORT", 5432),
    "rabbitmq": ("RABBITMQ_PORT", 5672),
    "rabbitmq-management": ("RABBITMQ_MANAGEMENT_PORT", 15672),
    "edge": ("EDGE_PORT", 8443),
    "edge-metrics": ("EDGE_METRICS_PORT", 8404),
    "issuer": ("ISSUER_PORT", 8090),
    "console": ("CONSOLE_PORT", 8000),
    "prometheus": ("PROMETHEUS_PORT", 9090),
    "alertmanager": ("ALERTMANAGER_PORT", 9093),
    "grafana": ("GRAFANA_PORT", 3000),
    "jaeger": ("JAEGER_PORT", 16686),
} | {name: (f"{name.upper().replace('-', '_')}_PORT", service["port"]) for name, service in _SERVICES.items()}
SERVER_PORTS = ("postgres", "rabbitmq", "rabbitmq-management")

# What make's command line may set besides the settings.
MAKE_VARIABLES = {"PYTHON", "SHELL", "SERVICE", "ONLY", "CHANGED", "FILE", "ARGS", "YES", "SEED", "RUNS", "MINUTES"}
MAKE_VARIABLES |= {"SECURE", "ROLE", "SUB"}

# make's own variables, those of our Makefile, and an activated environment would lead our child processes astray.
_NOT_INHERITED = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "COMMAND_LINE", "YES", "ONLY", "CHANGED", "ARGS", "SERVICE"}
_NOT_INHERITED |= {"SECURE", "ROLE", "SUB"}
_NOT_INHERITED |= {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH"}


def keep_private() -> None:
    """Makes `.run` a folder of its owner's alone: what stands below holds passwords, messages and customers' data."""
    RUN.mkdir(mode=0o700, exist_ok=True)
    RUN.chmod(0o700)


def replicas_variable(service: str) -> str:
    return f"{service.upper().replace('-', '_')}_REPLICAS"


def projects() -> list[str]:
    """The Poetry projects that this clone has, in the order in which they are worked on."""
    return [name for name in PROJECTS if (ROOT / name / "pyproject.toml").is_file()]


def inherited_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}


def settings() -> set[str]:
    """The names of all settings: .env.example describes each of them."""
    example = ROOT / ".env.example"
    text = example.read_text() if example.exists() else ""
    return set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", text, flags=re.MULTILINE))


def dotenv() -> dict[str, str]:
    """The variables of `.env` at the root, as compose reads them: NAME=value, quotes optional, # comments."""
    path = ROOT / ".env"
    values: dict[str, str] = {}
    if not path.is_file():
        return values
    for raw in path.read_text().splitlines():
        line = raw.strip().removeprefix("export ")
        name, separator, value = line.partition("=")
        if not separator or name.startswith("#"):
            continue
        value = value.strip()
        if value[:1] in ("'", '"') and value.find(value[0], 1) > 0:
            value = value[1 : value.find(value[0], 1)]
        else:
            value = "" if value.startswith("#") else value.split(" #", 1)[0].rstrip()
        values[name.strip()] = value
    return values


def setting(name: str, default: str = "") -> str:
    """A variable of the environment (or of make's command line), else of `.env`, else the default. Empty is unset."""
    return os.environ.get(name) or dotenv().get(name) or default
