"""`make contracts`: what follows from the events that the services declare (domain/events.py, application/messages.py).

Each service's contracts/ by chassis.testing.declared; from all of them together the queues and bindings in
deploy/rabbitmq/definitions.json and the table of docs/events.md. With --check nothing is written, and each file that
would be is named. No packages: the services run in their own environments.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DEFINITIONS = ROOT / "deploy" / "rabbitmq" / "definitions.json"
EVENTS = ROOT / "docs" / "events.md"
_HEADER = "| event | routing key | published by, when | read by | `data`, besides order_id and customer_id |"

Declared = dict[str, Any]


def main() -> int:
    check = "--check" in sys.argv[1:]
    folders = sorted(path.parents[1] for path in ROOT.glob("*/application/messages.py"))
    runs = [_declared(folder, check) for folder in folders]
    services = [service for service, _ in runs]
    wrong = any(failed for _, failed in runs)
    for path, text in ((DEFINITIONS, _definitions(services)), (EVENTS, _table(services))):
        if path.read_text() != text:
            print(f"{path.relative_to(ROOT)}: {'run `make contracts`' if check else 'written'}", file=sys.stderr)
            wrong = True
            if not check:
                path.write_text(text)
    return 1 if check and wrong else 0


def _declared(folder: Path, check: bool) -> tuple[Declared, bool]:
    command: list[str | Path] = [
        folder / ".venv" / "bin" / "python",
        "-m",
        "chassis.testing.declared",
        *(["--check"] if check else []),
    ]
    run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    if not run.stdout:
        raise SystemExit(f"{folder.name} could not be read; see above")
    return json.loads(run.stdout), run.returncode != 0


def _definitions(services: list[Declared]) -> str:
    """What is there already keeps its place."""
    document = json.loads(DEFINITIONS.read_text())
    document["queues"] = _merged(document["queues"], [queue for service in services for queue in service["queues"]])
    bindings = [binding for service in services for binding in service["bindings"]]
    names = {service["service"] for service in services}
    kept = [old for old in document["bindings"] if old["destination"] not in names or old in bindings]
    document["bindings"] = _merged(kept, bindings)
    return json.dumps(document, indent=2) + "\n"


def _merged(old: list[Declared], new: list[Declared]) -> list[Declared]:
    named = {entry["name"]: entry for entry in new if "name" in entry}
    updated = [named.get(entry.get("name", ""), entry) for entry in old]
    return updated + [entry for entry in new if entry not in updated]


def _table(services: list[Declared]) -> str:
    before, _, after = EVENTS.read_text().partition(_HEADER)
    rest = after[after.index("\n\n") :]
    rows = [_HEADER, "|---|---|---|---|---|", *_rows(services)]
    return before + "\n".join(rows) + rest


def _rows(services: list[Declared]) -> Iterator[str]:
    for service in services:
        folder = service["service"]
        for event in service["published"]:
            name, key, short = event["name"], event["routing_key"], folder.removesuffix("-service")
            readers = ", ".join(
                other["service"].removesuffix("-service") for other in services if name in other["consumed"]
            )
            data = ", ".join(field for field in event["data"] if field not in ("order_id", "customer_id"))
            says = event["says"][0].lower() + event["says"][1:].rstrip(".")
            contract = f"[{name}](../{folder}/contracts/{name}.example.json)"
            yield f"| {contract} | {key} | {short}: {says} | {readers} | {data} |"


if __name__ == "__main__":
    sys.exit(main())
