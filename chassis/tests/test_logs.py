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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's own")
def test_a_full_disk_costs_lines_of_the_log_and_nothing_else() -> None:
    with open("/dev/full", "w") as full:
        process = subprocess.run([sys.executable, "-c", _PROGRAM], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (process.returncode, process.stderr) == (0, "still alive")
