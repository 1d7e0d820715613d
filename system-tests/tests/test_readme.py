"""The README's lines do what it says, in both languages."""

import asyncio
import re
import sys

import pytest

from system import ROOT, System
from way import development_only


@development_only("attacks/test_secure.py has the lines of production")
async def test_the_curl_lines_answer_as_the_readme_says(system: System) -> None:
    ports = [f"{name}={service.port}" for name, service in system.services.items()]
    run = await asyncio.create_subprocess_exec(
        sys.executable, ROOT / "deploy/local/readme_lines.py", *ports, stdout=asyncio.subprocess.PIPE, stderr=-2
    )
    output, _ = await run.communicate()
    assert run.returncode == 0, output.decode()


def test_both_languages_have_the_same_lines() -> None:
    assert _lines("README.md") == _lines("README.es.md")


@pytest.mark.parametrize("readme", ["README.md", "README.es.md"])
def test_every_make_target_that_is_named_exists(readme: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / readme).read_text(), flags=re.MULTILINE))
    assert {"up", "test", "check", "demo"} <= named <= targets


def _lines(name: str) -> list[str]:
    """The commands in their order, without comments."""
    return re.findall(r"^```bash\n(.*?)^```", (ROOT / name).read_text(), flags=re.MULTILINE | re.DOTALL)
