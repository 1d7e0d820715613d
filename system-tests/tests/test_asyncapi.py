"""The AsyncAPI document, which `make contracts` makes and `make check` compares, as AsyncAPI's own parser sees it."""

import json
import subprocess
from pathlib import Path

import pytest

from node import node_with
from system import ROOT

DOCUMENT = ROOT / "console" / "static" / "asyncapi.json"
PARSER = ROOT / "system-tests" / "asyncapi"


@pytest.fixture(scope="module")
def node() -> str:
    return node_with(PARSER)


def said_of(node: str, document: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([node, "check.mjs", document], cwd=PARSER, capture_output=True, text=True, timeout=60)


def test_the_parser_has_nothing_to_say(node: str) -> None:
    document = json.loads(DOCUMENT.read_text())
    count = f"{len(document['components']['messages'])} messages, {len(document['operations'])} operations\n"
    done = said_of(node, DOCUMENT)
    assert (done.returncode, done.stdout) == (0, count), done.stderr


def test_the_parser_tells_a_document_that_is_wrong(node: str, tmp_path: Path) -> None:
    document = json.loads(DOCUMENT.read_text())
    document["operations"]["publishOrderCreated"]["action"] = "publish"
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(document))
    assert said_of(node, wrong).returncode == 1
