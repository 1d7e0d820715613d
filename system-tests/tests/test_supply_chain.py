"""What others made: it is listed, looked up among the known holes, and tied to one content."""

import json
import os
import re
import tomllib
from pathlib import Path

import pytest

from local import run_local
from system import ROOT

DOCKER = f"sha256:{'0123456789abcdef' * 4}"
COMMIT = "fedcba98" * 5


def test_the_bill_of_materials_lists_the_packages_of_the_lock_file() -> None:
    run_local("import layout, supply_chain; layout.projects = lambda: ['operations']; supply_chain.sbom()")

    bill = json.loads((ROOT / "dist" / "sbom" / "operations.cdx.json").read_text())
    lock = tomllib.loads((ROOT / "operations" / "poetry.lock").read_text())
    locked = {
        (package["name"], package["version"])
        for package in lock["package"]
        if "main" in package["groups"] and package.get("source", {}).get("type") != "directory"
    }
    listed = {(component["name"], component["version"]) for component in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "order-processing-operations"
    assert {name for name, _ in locked} >= {"aio-pika", "asyncpg", "httpx"}
    assert locked - listed == set()
    assert not {"pytest", "ruff"} & {name for name, _ in listed}
    assert all(component["externalReferences"][0]["hashes"] for component in bill["components"])


@pytest.mark.parametrize(
    ("advisories", "audits", "status", "said"),
    [
        ("raise OSError", "exit 1", 0, "SKIPPED, for no advisory service answers"),
        ("return io.BytesIO(b'{\"vulnerabilities\": []}')", "exit 1", 0, "SKIPPED, for no advisory service answers"),
        ("return io.BytesIO(b'{\"vulnerabilities\": [1]}')", "exit 0", 0, "audit: operations"),
        ("return io.BytesIO(b'{\"vulnerabilities\": [1]}')", "exit 1", 1, "see above what is wrong with operations"),
    ],
)
def test_a_known_hole_is_a_failure_and_silence_is_told(
    advisories: str, audits: str, status: int, said: str, tmp_path: Path
) -> None:
    code = f"""
import io, urllib.request
from pathlib import Path
import supply_chain
def ask(*_, **__): {advisories}
urllib.request.urlopen = ask
supply_chain.tools.own = lambda *_: Path({str(tmp_path)!r})
supply_chain._pins = lambda: [("operations", Path("pins.txt"))]
print(supply_chain.audit())
"""
    (tmp_path / "pip-audit").write_text(f"#!/bin/sh\n{audits}\n")
    (tmp_path / "pip-audit").chmod(0o755)
    *lines, ended = run_local(code).splitlines()
    assert int(ended) == status
    assert said in "\n".join(lines)


@pytest.mark.parametrize("there", [True, False])
def test_images_and_actions_are_pinned_all_or_none(there: bool, tmp_path: Path) -> None:
    """Whether or not they were before; the tag stays readable, and says what to pin next time."""
    files = {
        "order-service/Dockerfile": "FROM python:3.13-slim AS build\nFROM python:3.13-slim\n",
        "deploy/rabbitmq/Dockerfile": f"FROM rabbitmq:4-management@sha256:{'1' * 64} AS server\n",
        ".github/workflows/ci.yml": f"- uses: actions/checkout@v4\n- uses: actions/cache@{'2' * 40} # v3.1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    for program, answer in (("docker", DOCKER if there else ""), ("git", f"{'0' * 40} tag\n{COMMIT} tag^{{}}")):
        (tmp_path / program).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (tmp_path / program).chmod(0o755)
    code = f"""
from pathlib import Path
import layout, supply_chain
layout.ROOT = Path({str(tmp_path)!r})
try:
    supply_chain.pin()
except supply_chain.Problem as problem:
    print(problem)
"""
    said = run_local(code, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    found = {name: (tmp_path / name).read_text() for name in files}
    if not there:
        assert "can't be looked up; nothing was changed" in said
        assert found == files
        return
    assert found == {
        "order-service/Dockerfile": f"FROM python:3.13-slim@{DOCKER} AS build\nFROM python:3.13-slim@{DOCKER}\n",
        "deploy/rabbitmq/Dockerfile": f"FROM rabbitmq:4-management@{DOCKER} AS server\n",
        ".github/workflows/ci.yml": f"- uses: actions/checkout@{COMMIT} # v4\n- uses: actions/cache@{COMMIT} # v3.1\n",
    }


def test_no_workflow_runs_an_action_that_its_owner_can_change() -> None:
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        used = re.findall(r"uses: (.*)", workflow.read_text())
        assert used
        assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+", action)] == []
