"""A pytest plugin that writes down which tests call which functions: {test file: {test: [seconds, [file:function]]}}.

It runs in a folder's own environment, hence without coverage.py. What the set-up of a fixture calls that several tests
share is put down to all tests of the file.
"""

import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

_HERE = f"{Path.cwd()}{os.sep}"
_called: dict[str, set[str]] = defaultdict(set)
_seconds: dict[str, float] = defaultdict(float)
_running = [""]


def _trace(frame: FrameType, _event: str, _argument: object) -> None:
    path = frame.f_code.co_filename
    if path.startswith(_HERE):
        _called[_running[-1]].add(f"{path.removeprefix(_HERE)}:{frame.f_code.co_name}")


sys.settrace(_trace)
threading.settrace(_trace)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _running.append(item.nodeid.split("[")[0])
    try:
        return (yield)
    finally:
        _running.pop()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any) -> Generator[None, object, object]:
    _running.append(_running[-1] if fixturedef.scope == "function" else _running[-1].split("::")[0])
    try:
        return (yield)
    finally:
        _running.pop()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid.split("[")[0]] += report.duration


def pytest_sessionfinish() -> None:
    sys.settrace(None)
    files: dict[str, dict[str, object]] = defaultdict(dict)
    for test, seconds in _seconds.items():
        file = test.split("::")[0]
        files[file][test] = [seconds, sorted(_called[test] | _called[file])]
    Path(os.environ["CALLS"]).write_text(json.dumps(files))
