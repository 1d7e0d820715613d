"""The alerting rules: what they ask about is really there, they fire when they should and not otherwise, and whoever is
alarmed finds what to do."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # it ships none

import way
from operations import books
from operations.books.report import metrics
from operations.metrics import database_figures
from operations.shop import DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER, Line
from shop import Shop
from system import ROOT, System
from tests import alert_cases, objective_cases
from tests.alert_cases import Case
from watching import OBSERVABILITY, RULES, program, servers_ports

CASES = (*alert_cases.CASES, *objective_cases.CASES)
UNSEEN = {"status": {"503"}} | ({"route": {"/health"}} if way.SECURE else {})
"""What no test has brought about; in production health is told at another address, where nobody counts."""
PROMETHEUS_OWN = {"up"}
LATER = {"events_dead_lettered_total"}
"""What is there from the first dead letter on."""
PROMETHEUS_LABELS = {"job", "instance"}

Rule = dict[str, Any]
Exposed = Mapping[str, Mapping[str, set[str]]]
"""Metrics by name, with the labels of their samples and the values that these have."""

_FUNCTIONS = {"max", "max_over_time", "sum", "sum_over_time", "rate", "time", "absent", "vector"}
_OPERATORS = {"by", "on", "or", "and", "unless"}
_SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? \S+$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_SELECTOR = re.compile(r"\b([a-z_]+)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def rules(kind: str = "alert") -> list[Rule]:
    """Those that raise an alert, or those that record a figure."""
    groups = [group for name in RULES for group in yaml.safe_load((OBSERVABILITY / name).read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


RECORDED = rules("record")


def metrics_in(expression: str) -> set[str]:
    """The names of the metrics: what is left once labels, ranges, functions and operators are gone."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on) \([^)]*\)", " ", expression)
    return set(re.findall(r"\b[a-z_][a-z_0-9:]*\b", bare)) - _FUNCTIONS - _OPERATORS


def exposed(text: str) -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        for suffix in ("", "_count", "_sum") if kind == "histogram" else ("",):
            found[f"{name}{suffix}"] = {}
    for name, labels in _SAMPLE.findall(text):
        for label, value in _LABEL.findall(labels):
            found.setdefault(name, {}).setdefault(label, set()).add(value)
    return found


@pytest.fixture(scope="module")
async def there(system: System, shop: Shop, client: httpx.AsyncClient) -> Exposed:
    """What the books and the services expose, once the gateway has given every kind of answer."""
    product = await shop.stock(100)
    for customer in (None, DECLINED_CUSTOMER, FAILING_CUSTOMER, FORGETFUL_CUSTOMER):
        await shop.ended((await shop.place(Line(product), customer=customer))["id"])
    found = exposed(metrics(await books.examine(system.database_url, settled=False)))
    urls = [f"{url}/metrics" for url in system.internal_urls.values()]
    if ports := servers_ports():
        broker = f"http://127.0.0.1:{ports['rabbitmq-metrics']}/metrics"
        urls += [broker, f"{broker}/detailed?family=queue_coarse_metrics"]
    texts = [(await client.get(url)).text for url in urls]
    for text in (*texts, await database_figures(system.database_url)):
        for name, labels in exposed(text).items():
            known = found.setdefault(name, {})
            for label, values in labels.items():
                known.setdefault(label, set()).update(values)
    for rule in RECORDED:
        found.setdefault(rule["record"], {}).setdefault("slo", set()).update(rule.get("labels", {}).values())
    return found


@pytest.mark.parametrize("rule", [*rules(), *RECORDED], ids=lambda rule: rule.get("alert") or rule["record"])
async def test_every_metric_and_every_label_of_a_rule_and_of_its_cases_is_exposed(there: Exposed, rule: Rule) -> None:
    asked = metrics_in(rule["expr"])
    if not servers_ports() and any(name.startswith("rabbitmq_") for name in asked):
        pytest.skip("where RabbitMQ tells Prometheus of itself is known of its own servers: run `make test`")
    assert asked or "vector" in rule["expr"]
    assert asked <= there.keys() | PROMETHEUS_OWN | LATER
    known = PROMETHEUS_LABELS.union(*(there.get(name, {}) for name in asked))
    assert {label for labels in _BY.findall(rule["expr"]) for label in labels.split(", ")} <= known

    for metric, matchers in _SELECTOR.findall(rule["expr"]):
        for label, _, pattern in _MATCHER.findall(matchers):
            if label not in PROMETHEUS_LABELS:
                said = there[metric].get(label, set()) | UNSEEN.get(label, set())
                for alternative in pattern.split("|"):
                    assert any(re.fullmatch(alternative, value) for value in said), f"nothing is {alternative}: {said}"

    for series in (series for case in cases_of(rule) for series in case.series):
        metric, _, labels = series.partition("{")
        if metric not in PROMETHEUS_OWN | LATER:
            assert {label for label, _ in _LABEL.findall(labels)} <= there[metric].keys() | PROMETHEUS_LABELS, series


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_rule_says_what_to_do(rule: Rule) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)

    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["action"]
    assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus's own tool. It is in Debian's and Ubuntu's package `prometheus`."""
    return program("promtool")


def test_prometheus_accepts_the_rules(promtool: str) -> None:
    files = [str(OBSERVABILITY / name) for name in RULES]
    done = subprocess.run([promtool, "check", "rules", *files], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(map(int, re.findall(r"(\d+) rules found", done.stdout))) == len(rules()) + len(RECORDED)


@pytest.mark.parametrize(("required", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_without_promtool_nothing_passes_and_a_line_says_how_to_get_it(required: str, outcome: str) -> None:
    command = [sys.executable, "-m", "pytest", __file__, "-k", "test_prometheus_accepts_the_rules"]
    environment = os.environ | {"PATH": "/nowhere", "REQUIRE_SERVERS": required}
    done = subprocess.run(
        command, cwd=ROOT / "system-tests", env=environment, capture_output=True, text=True, check=False
    )

    assert f" {outcome}" in done.stdout.splitlines()[-1]
    assert "sudo sh deploy/local/packages.sh prometheus" in done.stdout


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_rule_has_cases_in_which_it_fires_and_is_silent(rule: Rule) -> None:
    """Else a rule that is added would be held by nothing."""
    assert any(case.fires for case in cases_of(rule))
    assert any(case.silent for case in cases_of(rule))


def test_every_case_is_of_a_rule() -> None:
    assert {case.alert for case in CASES} == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_fires_when_it_should_and_not_otherwise(rule: Rule, promtool: str, tmp_path: Path) -> None:
    assert complaint(promtool, tmp_path, rule, cases_of(rule)) == ""


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_part_of_a_rule_is_held_by_a_case(rule: Rule, promtool: str, tmp_path: Path) -> None:
    """Whoever moves a threshold, a time, a comparison, a label or a range a little is told by a case that fails."""
    changed = list(mutants(rule))

    def survives(number: int) -> bool:
        return not complaint(promtool, tmp_path / str(number), changed[number], cases_of(rule))

    assert len(changed) > 3
    assert [(changed[number]["expr"], changed[number].get("for")) for number in those(survives, len(changed))] == []


@pytest.mark.parametrize("place", range(len(RECORDED)), ids=lambda place: f"{place}-{RECORDED[place]['record']}")
def test_every_part_of_an_objective_is_held_by_a_case(place: int, promtool: str, tmp_path: Path) -> None:
    changed = [rule for rule in mutants(RECORDED[place]) if rule["expr"] != RECORDED[place]["expr"]]
    of_budgets = [rule for rule in rules() if "slo:" in rule["expr"]]

    def survives(number: int) -> bool:
        recorded = [*RECORDED[:place], changed[number], *RECORDED[place + 1 :]]
        return not any(
            complaint(promtool, tmp_path / f"{number}-{rule['alert']}", rule, cases_of(rule), recorded)
            for rule in of_budgets
        )

    assert changed
    assert [changed[number]["expr"] for number in those(survives, len(changed))] == []


def those(survives: Callable[[int], bool], number: int) -> list[int]:
    with ThreadPoolExecutor(2) as pool:
        return [number for number, lives in enumerate(pool.map(survives, range(number))) if lives]


def cases_of(rule: Rule) -> list[Case]:
    return [case for case in CASES if case.alert == rule.get("alert")]


def mutants(rule: Rule) -> Iterator[Rule]:
    """The rule with one small mistake each."""
    expression: str = rule["expr"]

    def replaced(found: re.Match[str], by: str) -> Rule:
        return rule | {"expr": expression[: found.start()] + by + expression[found.end() :]}

    for found in re.finditer(r"(?<=[>=] )[\d.]+(?!\S)|(?<=vector\()0\.\d+", expression):
        number = float(found[0])
        yield from (replaced(found, str(number + step)) for step in (number * 0.02 or 1, -number * 0.02 or -1))
    for found in re.finditer(r" (>|==) ", expression):
        # No quotient of counters is a threshold exactly.
        yield from (
            replaced(found, f" {by} ") for by in _COMPARISONS[found[1]] if (expression[:4], by) != ("slo:", ">=")
        )
    for found in re.finditer(r"\[(\d+)([mh])\]", expression):
        length = int(found[1]) * {"m": 1, "h": 60}[found[2]]
        # Whether a rate is taken over two minutes or four makes no difference to what is summed over an hour.
        if "alert" in rule or length > 2:
            yield from (replaced(found, f"[{minutes}m]") for minutes in (length * 2, length // 2))
    for found in _MATCHER.finditer(expression):
        yield replaced(found, f'{found[1]}=~".*"')
        yield replaced(found, f'{found[1]}{_OPPOSITE[found[2]]}"{found[3]}"')
        for alternative in found[3].strip("()").split("|") if "|" in found[3] else ():
            yield replaced(found, found[0].replace(alternative.partition(")")[0], "nobody"))
    for found in re.finditer(r"\b(max|sum)\b", expression):
        yield replaced(found, "min")
    for by in ("by ()", r"by (\1, instance)"):
        yield from ({**rule, "expr": _BY.sub(by, expression)} for _ in _BY.findall(expression)[:1])
    for found in re.finditer(r" or absent\(.*\)", expression):
        yield replaced(found, "")
    minutes = int(str(rule.get("for", "0m")).removesuffix("m"))
    yield from (rule | {"for": f"{changed}m"} for changed in (minutes - 1, minutes + 1) if changed >= 0)
    if "alert" not in rule:
        return
    yield rule | {"labels": {"severity": "nobody's"}}
    yield rule | {"annotations": rule["annotations"] | {"summary": "something"}}


def complaint(
    promtool: str, folder: Path, rule: Rule, cases: Sequence[Case], recorded: Sequence[Rule] = RECORDED
) -> str:
    """What `promtool test rules` finds wrong with the rule; empty if nothing is."""
    folder.mkdir(exist_ok=True)
    alone = {"groups": [{"name": "one", "rules": [*(recorded if "slo:" in rule["expr"] else ()), rule]}]}
    (folder / "rules.yml").write_text(json.dumps(alone))  # JSON is YAML
    tests = [_unit_test(rule, case) for case in cases]
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "tests.yml").write_text(json.dumps(document))
    command = [promtool, "test", "rules", str(folder / "tests.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert (done.returncode == 0) != ("FAILED" in said), said
    return "" if done.returncode == 0 else said


def _unit_test(rule: Rule, case: Case) -> Rule:
    expected: dict[int, list[tuple[str, str]]] = {minute: [] for minute in case.silent} | {
        minute: list(fire.items()) for minute, fire in case.fires.items()
    }
    return {
        "name": case.name,
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {
                "alertname": rule["alert"],
                "eval_time": f"{minute}m",
                "exp_alerts": [
                    {
                        "exp_labels": _SEVERITIES[rule["alert"]] | dict(_LABEL.findall(labels)),
                        "exp_annotations": _REST[rule["alert"]] | {"summary": summary},
                    }
                    for labels, summary in alerts
                ],
            }
            for minute, alerts in expected.items()
        ],
    }


_BY = re.compile(r"\bby \(([^)]*)\)")
_COMPARISONS = {">": (">=", "<", "=="), "==": ("!=", ">", "<")}
_OPPOSITE = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
_SEVERITIES: dict[str, dict[str, str]] = {rule["alert"]: rule["labels"] for rule in rules()}
_REST: dict[str, dict[str, str]] = {rule["alert"]: rule["annotations"] for rule in rules()}
