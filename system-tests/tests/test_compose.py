"""The compose files, read without an engine; `make test-compose` runs them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships none

from attacks.edge import CONFIGURATION
from local import run_local
from operations import metrics
from operations.addresses import SERVICES
from system import ROOT

FILES = ("docker-compose.yml", "docker-compose.override.yml", "docker-compose.secure.yml")
OBSERVERS = {"prometheus", "alertmanager", "grafana", "jaeger"}


def compose(file: str = FILES[0]) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())
    return loaded


def published(file: str) -> dict[str, list[str]]:
    return {name: service["ports"] for name, service in compose(file)["services"].items() if "ports" in service}


def test_ports_are_published_for_development_alone_and_only_to_this_machine() -> None:
    """Or no service could have a second replica, and the edge could be gone round."""
    base, override, secure = map(published, FILES)
    assert base == {}
    assert set(override) == {"postgres", "rabbitmq", *SERVICES, "console"} | OBSERVERS
    assert all(override.pop(name)[0].startswith("127.0.0.1:") for name in OBSERVERS)
    assert set(secure) == {"edge", "issuer"}
    assert secure.pop("issuer")[0].startswith("127.0.0.1:")
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for its in (override | secure).values() for port in its)


def test_the_edge_in_compose_has_each_setting_and_each_service() -> None:
    settings = set(re.findall(r"EDGE_[A-Z_]+", CONFIGURATION.read_text()))
    given = compose("docker-compose.secure.yml")["services"]["edge"]["environment"]
    assert settings - set(given) == {"EDGE_METRICS_PORT"}
    assert set(given) - settings == {"EDGE_SERVICES_HEALTH_PORT"}
    defaults = dict(re.findall(r"\{(EDGE_[A-Z_]+)(?:\[\*\])?-([^}]+)\}", CONFIGURATION.read_text()))
    for name, value in given.items():
        if str(value).startswith("${"):
            assert value == f"${{{name}:-{defaults[name]}}}"
    backends = (CONFIGURATION.parent / "backends.cfg").read_text()
    declared = json.loads((ROOT / "operations" / "operations" / "services.json").read_text())
    lines = r"^backend (\S+) from \w+\n    server-template \1- 1-16 \1:(\d+) .*verifyhost \1$"
    found = re.findall(lines, backends, re.MULTILINE)
    ports = {name: its["port"] for name, its in declared.items()} | {"console": 8000}
    assert {name: int(port) for name, port in found} == ports


@pytest.mark.parametrize("service", SERVICES)
def test_every_way_to_start_a_service_bounds_its_headers_and_outwaits_the_edge(service: str) -> None:
    for way in (f"{service}/Dockerfile", "deploy/local/system.py", "system-tests/system.py"):
        options = re.findall(r'"--http", "([^"]+)", "--timeout-keep-alive", "(\d+)"', (ROOT / way).read_text())
        assert options == [("chassis.http.protocol:BoundedProtocol", "75")]


def test_docker_compose_1_29_can_read_the_file_and_finds_each_image_built() -> None:
    """It interpolates no variable of its own, and starts service after service, in the order of their dependencies."""
    text = "".join((ROOT / file).read_text() for file in FILES[:2])
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
    base, secure = compose()["services"], compose("docker-compose.secure.yml")["services"]
    observers = {name: its for name, its in compose(FILES[1])["services"].items() if "build" in its}
    assert set(secure) - set(base) == {"edge", "issuer", "secrets"}
    assert set(observers) == OBSERVERS | {"metrics"}
    for name, service in (secure | base | observers).items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"] > 0, name
        assert service["mem_limit"], name
        becoming_another_user = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
        added = becoming_another_user if name in ("postgres", "rabbitmq") else set()
        assert set(service.get("cap_add", [])) == added, name
        assert service.get("read_only", False) == (not added), name


def test_prometheus_asks_each_container_where_it_answers() -> None:
    """Nothing else starts with the profile, and in production nothing at all."""
    configuration = yaml.safe_load((ROOT / "deploy" / "observability" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in configuration["scrape_configs"]}
    declared = json.loads((ROOT / "operations" / "operations" / "services.json").read_text())
    ports = {name: service["port"] for name, service in declared.items()}
    ports |= {"rabbitmq": 15692, "metrics": metrics.PORT}
    assert {name: jobs.get(name) for name in ports} == {name: [f"{name}:{port}"] for name, port in ports.items()}
    assert jobs.keys() - ports == {"queues"}
    assert jobs["queues"] == jobs["rabbitmq"]
    services = compose()["services"] | compose(FILES[1])["services"]
    assert {name for name, its in services.items() if its.get("profiles") == ["observe"]} == OBSERVERS | {"metrics"}
    assert not OBSERVERS & set(compose(FILES[2])["services"])


def test_the_secure_overlay_gives_no_container_more_rights() -> None:
    for name, service in compose("docker-compose.secure.yml")["services"].items():
        assert not {"cap_add", "privileged", "user", "pid", "ipc", "devices"} & set(service), name
        assert service.get("network_mode", "none") == "none", name


@pytest.mark.parametrize(
    ("run_with", "natively_before", "mode"),
    [("", False, "native"), ("", True, "native"), ("docker", False, "docker"), ("docker", True, "refused")],
)
def test_the_secure_system_is_in_docker_where_somebody_says_so(
    run_with: str, natively_before: bool, mode: str, tmp_path: Path
) -> None:
    """And never where it has run natively: there the authority's certificate has the same place."""
    code = f"""
from pathlib import Path
import docker, layout, profiles, system
docker.answers = lambda: True
layout.ROOT = layout.RUN = Path({str(tmp_path)!r})
try:
    print(system._mode(profiles.Profile(profiles.SECURE)))
except system.Problem as problem:
    print("refused" if "make reset SECURE=1" in str(problem) else problem)
"""
    if natively_before:
        (tmp_path / "secure" / "secrets").mkdir(parents=True)
    assert run_local(code, RUN_WITH=run_with).split() == [mode]


def up_in_docker(name: str, **environment: str) -> str:
    """What compose is called with, by `make up` and `make down`, or why not."""
    code = f"""
import docker, os, ports, profiles, system
docker.compose = lambda arguments, **_: print(*arguments) or 0
docker.containers, ports.is_free = lambda *_, **__: [], lambda _: True
profile = profiles.Profile({name!r}, "docker")
profiles.Profile.save = lambda _: None
try:
    system._up_in_docker(profile)
    print(*profile.ports, os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    system.down(profile)
except system.Problem as problem:
    print(problem)
"""
    return run_local(code, **environment)


def test_what_watches_the_system_is_started_where_somebody_says_so_and_always_stopped() -> None:
    up, ports, down = up_in_docker("system", OBSERVE="1").splitlines()
    assert up.startswith("--profile observe up ")
    assert set(ports.split()) >= OBSERVERS | {"http://jaeger:4318"}
    assert down.startswith("--profile observe down ")
    up, ports, down = up_in_docker("system", OBSERVE="0").splitlines()
    assert up.startswith("up ")
    assert not set(ports.split()) & OBSERVERS
    assert down.startswith("--profile observe down ")
    assert "OBSERVE=1 with SECURE=1 is native" in up_in_docker("secure", OBSERVE="1")


def test_production_in_compose_has_each_variable_that_it_has_natively() -> None:
    code = """
import json, layout, secure
from profiles import Profile
names = (*layout.PORTS, *(f"{name}-internal" for name in (*layout.SERVICES, "console")))
profile = Profile("secure-parity", ports=dict.fromkeys(names, 1))
found = {name: secure.of_service(profile, name) for name in layout.SERVICES}
found |= {name.replace("service", "migrations"): secure.of_migration(profile, name) for name in layout.DATABASE_ROLES}
found |= {"rabbitmq-definitions": secure.of_definitions(profile), "operations": secure.of_operator(profile)}
found["console"] = secure.of_page(profile)
print(json.dumps({name: sorted(name for name, value in its.items() if value) for name, its in found.items()}))
"""
    natively: dict[str, list[str]] = json.loads(run_local(code))
    for name, variables in natively.items():
        given = compose("docker-compose.secure.yml")["services"][name]["environment"]
        # Natively all services get the same, and only payment-service reads this one; the operators' tool runs code of
        # the services there, which its image doesn't have.
        spared = set() if name == "payment-service" else {"ALLOW_SIMULATED_GATEWAY"}
        if name == "operations":
            spared |= {"ALLOW_DEVELOPMENT_ISSUER", "OIDC_DISCOVERY_URL", "INTERNAL_ADDRESS", "ALLOW_PLAIN_HTTP"}
        assert {variable for variable, value in given.items() if value} == set(variables) - spared, name


def test_each_container_is_given_the_files_that_it_is_told_of_and_no_others() -> None:
    given = json.loads(run_local("import compose_secrets, json; print(json.dumps(compose_secrets._given()))"))
    # Which its own configuration or its URLs name.
    implied = {"ca.crt", "tls.crt", "tls.key"}
    volumes = {f"{name}-migrations": {"migrations"} for name in ("order", "inventory", "payment")}
    volumes |= {"rabbitmq-definitions": {"definitions"}, "operations": {"operations", "issuer"}, "issuer": {"issuer"}}
    for name, service in compose("docker-compose.secure.yml")["services"].items():
        if name == "secrets":
            assert len(service["volumes"]) == len(given) + 2
            continue
        mounted = [volume.split(":") for volume in service["volumes"]]
        assert {volume for volume, *_ in mounted} == volumes.get(name, {name})
        for volume, folder, *options in mounted:
            if volume != "issuer":
                assert options == ["ro"], name
                told = set(re.findall(rf"(?:{folder}|/run/own)/([\w.-]+)", json.dumps(service)))
                assert told <= set(given[volume]), name
                others = {file for file in given[volume] if file.endswith(".database-logins")}
                assert set(given[volume]) - told <= implied | others, name


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
