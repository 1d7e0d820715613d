"""Node.js and a package's dependencies, for tests whose second opinion is written in JavaScript.

Skips where Node 20 or newer, or the package index, is missing: GitHub's machines have both.
"""

import shutil
import subprocess
from pathlib import Path

import pytest


def node_with(folder: Path) -> str:
    """The program, once what the folder's package-lock.json names is installed there."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if not (found and npm):
        pytest.skip("there is no Node.js")
    version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    if int(version.removeprefix("v").partition(".")[0] or 0) < 20:
        pytest.skip(f"Node.js is {version.strip()}, and {folder.name} needs 20")
    installed = subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True)
    if installed.returncode != 0:
        pytest.skip(f"npm could not install what {folder.name} needs: {installed.stderr[-300:]}")
    return found
