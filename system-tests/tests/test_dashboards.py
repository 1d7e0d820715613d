"""The dashboards: every query of every panel is asked of a Prometheus that scrapes the running system, and answers."""

import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships none
from chassis.testing import eventually

from bus import Bus
from operations.shop import DECLINED_CUSTOMER, FAILING_CUSTOMER, Line
from shop import Shop
from system import System
from watching import OBSERVABILITY, Watch, program, watched

FILES = sorted((OBSERVABILITY / "dashboards").glob("*.json"))
PANELS = [(file.stem, panel) for file in FILES for panel in json.loads(file.read_text())["panels"]]
Panel = dict[str, Any]


@pytest.fixture(scope="module")
async def watch(
    system: System, shop: Shop, channel: Bus, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watch]:
    """On a system that is busy."""
    async with watched(system, tmp_path_factory.mktemp("watch")) as started:
        product = await shop.stock(100)

        async def every_objective_has_seen_something() -> bool:
            for customer in (None, DECLINED_CUSTOMER, FAILING_CUSTOMER):
                await shop.ended((await shop.place(Line(product), customer=customer))["id"])
            return len(await started.query("slo:burn_rate:6h >= 0")) == 3

        await eventually(every_objective_has_seen_something, seconds=30)
        yield started


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=lambda its: its if isinstance(its, str) else its["title"])
async def test_every_query_of_every_panel_has_an_answer(watch: Watch, dashboard: str, panel: Panel) -> None:
    assert "?" in panel["description"]
    for target in panel["targets"]:
        answers: list[Panel] = []

        async def is_answered(expression: str = target["expr"]) -> bool:
            nonlocal answers
            answers = await watch.query(expression)
            return any(not math.isnan(float(answer["value"][1])) for answer in answers)

        await eventually(is_answered)
        for part in target["legendFormat"].split("{{")[1:]:
            label = part.partition("}}")[0]
            assert all(answer["metric"].get(label) for answer in answers), f"{target['expr']} has no {label}"


def test_the_files_are_as_they_are_described() -> None:
    command = [sys.executable, str(OBSERVABILITY / "dashboards.py"), "--check"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""


def test_grafana_finds_the_dashboards_and_each_source_of_a_panel() -> None:
    """Grafana itself isn't here to say so."""
    sources = yaml.safe_load((OBSERVABILITY / "grafana" / "datasources.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for _, panel in PANELS} <= {source["uid"] for source in sources}
    override = yaml.safe_load((OBSERVABILITY.parents[1] / "docker-compose.override.yml").read_text())["services"]
    assert {source["url"].split("//")[1].split(":")[0] for source in sources} <= override.keys()
    folder = yaml.safe_load((OBSERVABILITY / "grafana" / "dashboards.yml").read_text())["providers"][0]["options"][
        "path"
    ]
    assert f"COPY --chmod=644 dashboards/*.json {folder}/" in (OBSERVABILITY / "Dockerfile").read_text()
    home = override["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in {f"{folder}/{file.name}" for file in FILES}
    assert len({json.loads(file.read_text())["uid"] for file in FILES}) == len(FILES)


@pytest.mark.parametrize("command", ["promtool check config", "amtool check-config"])
def test_prometheus_and_alertmanager_accept_what_they_get_in_docker(command: str) -> None:
    tool, *words = command.split()
    file = {"promtool": "prometheus.yml", "amtool": "alertmanager.yml"}[tool]
    done = subprocess.run(
        [program(tool), *words, str(OBSERVABILITY / file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
