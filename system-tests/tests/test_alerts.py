"""The alerting rules: whatever they ask about is really there, and whoever is alarmed finds what to do."""

import re
import shutil
import subprocess
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # it ships none

import books
from system import ROOT, System

RULES = ROOT / "deploy" / "observability" / "alerts.yml"
_FUNCTIONS = {"max", "sum", "rate", "time", "absent"}
_OPERATORS = {"by", "or", "and", "unless"}
PROMETHEUS_OWN = {"up"}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def metrics_in(expression: str) -> set[str]:
    """The names of the metrics: what is left once labels, ranges, functions and operators are gone."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\bby \([^)]*\)", " ", expression)
    return set(re.findall(r"\b[a-z_]+\b", bare)) - _FUNCTIONS - _OPERATORS


def exposed(text: str) -> set[str]:
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        names |= {name, f"{name}_count", f"{name}_sum"} if kind == "histogram" else {name}
    return names


async def test_every_metric_of_a_rule_is_exposed(system: System, client: httpx.AsyncClient) -> None:
    names = exposed(books.metrics(await books.examine(system.database_url, settled=False)))
    for url in system.urls.values():
        names |= exposed((await client.get(f"{url}/metrics")).text)

    for rule in rules():
        asked = metrics_in(rule["expr"])
        assert asked, rule["alert"]
        assert asked <= names | PROMETHEUS_OWN, rule["alert"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_rule_says_what_to_do(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)

    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["action"]
    assert rule["labels"]["severity"] in ("critical", "warning")


def test_prometheus_accepts_the_rules() -> None:
    """Where its promtool is."""
    if promtool := shutil.which("promtool"):
        done = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
