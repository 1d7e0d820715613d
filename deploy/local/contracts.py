"""`make contracts`: what follows from the events that the services declare (domain/events.py, application/messages.py).

Each service's contracts/ by chassis.testing.declared; from all of them together the queues and bindings in
deploy/rabbitmq/definitions.json, the table of docs/events.md, console/static/asyncapi.json and, for the operators'
tool, who reads which event. From the services' routes, docs/openapi/.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncapi
import install
import layout
from console import Problem

_READERS = layout.ROOT / "operations" / "operations" / "events.json"
OPENAPI = layout.ROOT / "docs" / "openapi"
_EVENTS = layout.ROOT / "docs" / "events.md"
_HEADER = "| event | routing key | published by, when | read by | `data`, besides order_id and customer_id |"

Declared = dict[str, Any]


def run(*, check: bool = False) -> list[str]:
    """Writes what is not as it would be, or only checks it; returns a line for each such file."""
    services: list[Declared] = []
    wrong: list[str] = []
    documents: dict[Path, str] = {}
    for name in layout.SERVICES:
        declared, said = _asked(name, "declared", *(["--check"] if check else []))
        services.append(json.loads(declared))
        wrong += said.splitlines()
        documents[OPENAPI / f"{name}.json"], _ = _asked(name, "openapi")
    everything = {
        layout.DEFINITIONS: _definitions(services),
        _EVENTS: _table(services),
        asyncapi.DOCUMENT: asyncapi.text(services),
        _READERS: _text(_readers(services)),
        **documents,
    }
    for path, text in everything.items():
        if not path.exists() or path.read_text() != text:
            wrong.append(f"{path.relative_to(layout.ROOT)}: {'run `make contracts`' if check else 'written'}")
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
    return wrong


def _asked(service: str, what: str, *arguments: str) -> tuple[str, str]:
    """What a module of chassis.testing prints in the service's folder, and what it says besides."""
    command: list[str | Path] = [install.python(service), "-m", f"chassis.testing.{what}", *arguments]
    environment = layout.inherited_environment()
    done = subprocess.run(command, cwd=layout.ROOT / service, env=environment, capture_output=True, text=True)
    if not done.stdout:
        raise Problem(f"What {service} declares could not be read.", done.stderr)
    return done.stdout, done.stderr


def _definitions(services: list[Declared]) -> str:
    """What is there already keeps its place."""
    document = json.loads(layout.DEFINITIONS.read_text())
    for kind in ("exchanges", "queues"):
        document[kind] = _merged(document[kind], [entry for service in services for entry in service[kind]])
    bindings = [binding for service in services for binding in service["bindings"]]
    names = {service["service"] for service in services}
    kept = [old for old in document["bindings"] if old["destination"] not in names or old in bindings]
    document["bindings"] = _merged(kept, bindings)
    return _text(document)


def _readers(services: list[Declared]) -> Declared:
    """The services that read each event, but for events that nobody reads."""
    names = [event["name"] for service in services for event in service["published"]]
    readers = {name: [service["service"] for service in services if name in service["consumed"]] for name in names}
    return {name: found for name, found in readers.items() if found}


def _text(document: Declared) -> str:
    return json.dumps(document, indent=2) + "\n"


def _merged(old: list[Declared], new: list[Declared]) -> list[Declared]:
    named = {entry["name"]: entry for entry in new if "name" in entry}
    merged = [named.get(entry.get("name", ""), entry) for entry in old]
    for entry in new:
        if entry not in merged:
            merged.append(entry)
    return merged


def _table(services: list[Declared]) -> str:
    before, _, after = _EVENTS.read_text().partition(_HEADER)
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
