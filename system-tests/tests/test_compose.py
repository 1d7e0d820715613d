"""docker-compose.yml, read without an engine; `make test-compose` runs it."""

import re
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships none

from system import ROOT


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_docker_compose_1_29_can_read_the_file_and_finds_each_image_built() -> None:
    """It interpolates no variable of its own, and starts service after service, in the order of their dependencies."""
    text = (ROOT / "docker-compose.yml").read_text()
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
    for name, service in compose()["services"].items():
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
