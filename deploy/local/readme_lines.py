"""Takes the README at its word: runs its curl lines against a running system, and compares the answers with its own.

    python3 deploy/local/readme_lines.py order-service=8001 inventory-service=8002 payment-service=8003 ...
    SECURE=1 python3 deploy/local/readme_lines.py edge=8443     # those of the secure way

The charge of an order must succeed at once there (PAYMENT_SUCCESS_RATE=1), as it did for the README.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import layout
import profiles
from console import Problem, report, say


def main() -> int:
    try:
        check({name: int(port) for name, _, port in (argument.partition("=") for argument in sys.argv[1:])})
    except Problem as problem:
        report(problem)
        return 1
    return 0


def check(service_ports: Mapping[str, int]) -> None:
    """Runs each block as a person would; raises Problem at the first whose answer is not what stands below it."""
    variables = {layout.PORTS[name][0]: str(port) for name, port in service_ports.items()}
    for block, answer in _blocks():
        _run(block, answer, variables)


def _blocks() -> list[tuple[str, str]]:
    """The README's blocks with curl lines, each with the answer that stands below it, if any: for the system that
    SECURE chooses."""
    profile = profiles.wanted()
    text = (layout.ROOT / "README.md").read_text().replace(".run/secure/", f".run/{profile}/")
    blocks = re.findall(r"^```bash\n(.*?)^```\n(?:\n```json\n(.*?)^```\n)?", text, flags=re.MULTILINE | re.DOTALL)
    secure = profile != profiles.SYSTEM
    found = [(block, answer) for block, answer in blocks if "curl " in block and ("$SHOP" in block) == secure]
    if not found:
        raise Problem("README.md has no ```bash block with curl lines.")
    return found


def _run(block: str, answer: str, variables: dict[str, str]) -> None:
    """A block that only reads is repeated, as a person would, until it answers as the README says."""
    say(f"  {next(line for line in reversed(block.splitlines()) if 'curl ' in line)}")
    deadline = time.monotonic() + 20
    while True:
        output = _shell(block, variables)
        if _as_expected(output, answer):
            return
        if "-X" in block or time.monotonic() > deadline:
            raise Problem("The README's lines answer otherwise than it says.", f"{block}\n{answer}\n{output}")
        time.sleep(0.2)


def _as_expected(output: str, answer: str) -> bool:
    if not answer:
        return "/problems/" not in output
    return bool(_masked(output.rpartition("\n")[2]) == _masked(answer))


def _masked(text: str) -> Any:
    """An answer without what differs each time (identifiers, times, trace ids), and without fields that are null: those
    that are optional need not stand in the README."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"[0-9a-f]{32}", "TRACE", text)
    try:
        return json.loads(text, object_hook=lambda fields: {k: v for k, v in fields.items() if v is not None})
    except ValueError:
        return text


def _shell(block: str, variables: dict[str, str]) -> str:
    """What the block prints. Its variables are there for the next one."""
    script = f"set -aeuo pipefail\n{block}\nprintf '\\0'; env -0"
    environment = layout.inherited_environment() | variables
    done = subprocess.run(
        ["bash", "-c", script], cwd=layout.ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    if done.returncode != 0:
        raise Problem("A line of the README fails.", f"{block}\n{done.stdout}{done.stderr}")
    output, *assignments, _ = done.stdout.split("\0")
    variables.update((name, value) for name, _, value in (pair.partition("=") for pair in assignments))
    return output.strip()


if __name__ == "__main__":
    sys.exit(main())
