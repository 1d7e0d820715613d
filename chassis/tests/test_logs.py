"""Logs."""

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import os, sys, structlog
from chassis.runtime import logs
from chassis.runtime.settings import ServiceSettings
logs.configure("note-service", ServiceSettings())
for _ in range(2):
    structlog.get_logger().info("nobody will read this")
sys.stderr.write("still alive")
sys.stderr.flush()
os._exit(0)  # an orderly end would try to write the lines once more
"""

_FORGER = r"""
import logging, structlog
from chassis.runtime import logs
from chassis.runtime.settings import ServiceSettings
logs.configure("note-service", ServiceSettings(log_format="console"))
said = "\x1b[2J\x9b2J one\n1970-01-01T00:00:00Z [info     ] forged\r\u202e"
structlog.get_logger().info("request", path=said, word="\x1b[2J", several=[said], error=ValueError(said))
logging.getLogger("uvicorn.error").warning("of a library: %s", said)
for failed in (structlog.get_logger().exception, logging.getLogger("asyncio").exception):
    try:
        raise ValueError(said)
    except ValueError:
        failed("failed")
"""


def test_what_callers_send_commands_no_terminal_and_forges_no_line() -> None:
    shown = subprocess.run([sys.executable, "-c", _FORGER], capture_output=True, text=True, check=True).stdout
    assert shown.replace("\n", "").isprintable()
    lines = shown.splitlines()
    assert not any(line.startswith("1970") for line in lines)
    assert [number for number, line in enumerate(lines) if "forged" in line] == [0, 1, 6, 11], "a value has one line"
    assert lines.count("Traceback (most recent call last):") == 2


_QUOTING = """
import structlog
from chassis.runtime import logs
from chassis.runtime.settings import ServiceSettings
logs.configure("note-service", ServiceSettings(log_format={format!r}))
try:
    raise ValueError('duplicate key\\nDETAIL:  Key (email)=(ann@shop.test) already exists.\\nHINT: none')
except ValueError:
    structlog.get_logger().exception("failed")
"""


@pytest.mark.parametrize("shape", ["json", "console"])
def test_a_row_that_a_database_s_error_quotes_is_not_logged(shape: str) -> None:
    program = [sys.executable, "-c", _QUOTING.format(format=shape)]
    shown = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert "ann@shop.test" not in shown
    assert all(word in shown for word in ("duplicate key", "DETAIL: (not logged)", "HINT: none"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's own")
def test_a_full_disk_costs_lines_of_the_log_and_nothing_else() -> None:
    with open("/dev/full", "w") as full:
        process = subprocess.run([sys.executable, "-c", _PROGRAM], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (process.returncode, process.stderr) == (0, "still alive")
