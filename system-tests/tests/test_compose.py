"""The compose files, read without an engine; `make test-compose` runs the first two."""

import json
import re
import subprocess
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships none

from attacks.edge import CONFIGURATION
from operations.addresses import SERVICES
from system import ROOT

FILES = ("docker-compose.yml", "docker-compose.override.yml", "docker-compose.edge.yml")


def compose(file: str = FILES[0]) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())
    return loaded


def published(file: str) -> dict[str, list[str]]:
    return {name: service["ports"] for name, service in compose(file)["services"].items() if "ports" in service}


def test_ports_are_published_for_development_alone_and_only_to_this_machine() -> None:
    """Or no service could have a second replica, and the edge could be gone round."""
    base, override, edge = map(published, FILES)
    assert base == {}
    assert set(override) == {"postgres", "rabbitmq", *SERVICES, "console"}
    assert set(edge) == {"edge"}
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for its in (override | edge).values() for port in its)


def test_the_edge_in_compose_has_each_setting_and_each_service() -> None:
    settings = set(re.findall(r"EDGE_[A-Z_]+", CONFIGURATION.read_text()))
    given = compose("docker-compose.edge.yml")["services"]["edge"]["environment"]
    tls_to_services = {"EDGE_SERVICES_CA", "EDGE_CLIENT_CERTIFICATE"}
    assert settings - set(given) == {"EDGE_METRICS_PORT", *tls_to_services}
    assert set(given) < settings
    defaults = dict(re.findall(r"\{(EDGE_[A-Z_]+)(?:\[\*\])?-([^}]+)\}", CONFIGURATION.read_text()))
    for name, value in given.items():
        if str(value).startswith("${"):
            assert value == f"${{{name}:-{defaults[name]}}}"
    backends = (CONFIGURATION.parent / "backends.cfg").read_text()
    declared = json.loads((ROOT / "operations" / "operations" / "services.json").read_text())
    lines = r"^backend (\S+) from service\n    server-template \1- 1-16 \1:(\d+) .*verifyhost \1$"
    found = re.findall(lines, backends, re.MULTILINE)
    assert {name: int(port) for name, port in found} == {name: its["port"] for name, its in declared.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_every_way_to_start_a_service_bounds_its_headers_and_outwaits_the_edge(service: str) -> None:
    for way in (f"{service}/Dockerfile", "deploy/local/system.py", "system-tests/system.py"):
        options = re.findall(r'"--http", "([^"]+)", "--timeout-keep-alive", "(\d+)"', (ROOT / way).read_text())
        assert options == [("chassis.http.protocol:BoundedProtocol", "75")]


def test_docker_compose_1_29_can_read_the_file_and_finds_each_image_built() -> None:
    """It interpolates no variable of its own, and starts service after service, in the order of their dependencies."""
    text = "".join((ROOT / file).read_text() for file in FILES)
    assert [found for found in re.findall(r"(?<!\$)\$\{([^}]*)\}", text) if ":-" not in found] == []
    services = compose()["services"]
    for name, service in services.items():
        if "build" not in service:
            builders = [
                other for other, its in services.items() if its.get("image") == service["image"] and "build" in its
            ]
            assert set(builders) & set(service["depends_on"]), f"{name} would pull {service['image']}"


def test_a_waiting_broker_does_not_spin() -> None:
    in_compose = compose()["services"]["rabbitmq"]["environment"]["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]
    natively = (ROOT / "deploy" / "local" / "rabbitmq.py").read_text()
    for text in (in_compose, natively):
        assert "+sbwt none +sbwtdcpu none +sbwtdio none" in text


def test_no_container_has_more_rights_or_takes_more_of_the_machine_than_it_needs() -> None:
    services = {name: service for file in FILES for name, service in compose(file)["services"].items()}
    ours = {name: service for name, service in (services | compose()["services"]).items() if "ports" not in service}
    assert {"edge", "certificates"} <= set(services)
    for name, service in (ours | {name: services[name] for name in ("edge", "console")}).items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"] > 0, name
        assert service["mem_limit"], name
        becoming_another_user = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
        added = becoming_another_user if name in ("postgres", "rabbitmq") else set()
        assert set(service.get("cap_add", [])) == added, name
        assert service.get("read_only", False) == (not added), name


def test_no_service_says_what_it_is_made_of() -> None:
    """Wherever one is started, uvicorn is told to send no Server header."""
    places = [*ROOT.glob("*-service/Dockerfile"), ROOT / "deploy" / "local" / "system.py"]
    assert len(places) == 5
    assert [place for place in places if '"--no-server-header"' not in place.read_text()] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_of_a_service_reaches_it(service: str) -> None:
    """A line of .env that compose didn't pass on would be ignored without a word: ENVIRONMENT=production, for one."""
    listing = "from settings import Settings; print(*Settings.model_fields)"
    python = ROOT / service / ".venv" / "bin" / "python"
    done = subprocess.run([python, "-c", listing], cwd=ROOT / service, capture_output=True, text=True, check=True)
    elsewhere = {"container", "rabbitmq_port", "postgres_port", "rabbitmq_url_file", "database_url_file"}
    settings = {name.upper() for name in set(done.stdout.split()) - elsewhere}
    assert settings - set(compose()["services"][service]["environment"]) == set()
