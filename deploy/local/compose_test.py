"""`make test-compose`: builds and runs docker-compose.yml beside whatever else runs, and takes the README at its word.

The README's curl lines must answer as the README says; the images must be small, the data outlive `down`, and each
service end when it is told to. Then the same with docker-compose.secure.yml (compose_secure_test.py). Projects, ports,
volumes and images are this run's own, and gone after it.
"""

import base64
import json
import re
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import compose_secure_test
import docker
import health
import layout
import locks
import ports
import readme_lines
from compose_checks import engine, eventually, refuse_rights
from console import Problem, report, say

_SECONDS = 15 * 60
_CLEANING_SECONDS = 3 * 60
_MEGABYTES_BEYOND_THE_BASE = 140

_PROJECT = f"{re.sub('[^a-z0-9]', '', layout.ROOT.name.lower()) or 'order-processing'}-compose-test"
# The README's answers are those of a charge that succeeds at once; a `.env` of the developer's must not change them.
_SETTINGS = {
    "BIND_ADDRESS": "127.0.0.1",
    "ORDER_EXPIRES_AFTER_SECONDS": "900",
    "MAX_OPEN_ORDERS_PER_CUSTOMER": "100",
    "PAYMENT_RETRY_DELAYS_SECONDS": "1,2,4",
    "PAYMENT_SUCCESS_RATE": "1",
    "PAYMENT_DECLINE_RATE": "0",
    "PAYMENT_TIMEOUT_RATE": "0",
    "CURRENCY": "USD",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
}
_PORTS = dict(zip(layout.PORTS, ports.choose(len(layout.PORTS)), strict=True))
_ENVIRONMENT = _SETTINGS | {variable: str(_PORTS[name]) for name, (variable, _) in layout.PORTS.items()}


def main() -> int:
    signal.signal(signal.SIGTERM, _terminated)
    began = time.monotonic()
    try:
        if not docker.answers() or shutil.which("curl") is None:
            raise Problem("This test needs a Docker engine that answers, its compose (version 2) and curl.")
        with locks.hold(layout.RUN / "compose-test" / "lock", "testing compose"):
            with _clean(), _bounded(_SECONDS):
                _test()
            with _bounded(_SECONDS):
                compose_secure_test.check(_SETTINGS)
    except Problem as problem:
        report(problem)
        return 1
    except KeyboardInterrupt:
        return 130
    say(f"Both compose files do what the README says ({time.monotonic() - began:.0f} s).")
    return 0


def _test() -> None:
    say("building")
    # Its progress is a thousand lines of pip; `up --build` then finds all of it made.
    _compose("--profile", "operations", "build", "--quiet")
    _compose("up", "--build", "-d", "--wait")
    for name in (*layout.SERVICES, "console", "operations"):
        _check_image(name)
    _check_started()
    readme_lines.check(_PORTS)
    kept = _settled()
    _compose("run", "--rm", "-T", "operations", "books")
    _compose("run", "--rm", "-T", "operations", "dead-letters")
    say("stopping the services, then all; and starting it again")
    _compose("stop", *layout.SERVICES)
    _check_exits()
    _compose("down")
    _compose("up", "-d", "--wait")
    if _settled() != kept:
        raise Problem("`docker compose down` and `up` changed the data.", f"{kept}\n{_settled()}")
    eventually("RabbitMQ lost its messages", lambda: bool(_management("queues/%2F/order_events.tap").get("messages")))
    _check_started()
    readme_lines.check(_PORTS)


def _check_image(name: str) -> None:
    image = f"{_PROJECT}-{name}"
    user = engine("image", "inspect", "--format", "{{.Config.User}}", image).strip()
    if user in ("", "0", "root"):
        raise Problem(f"The image of {name} runs as root.")
    layers = engine("history", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image).splitlines()
    first = next((i for i, layer in enumerate(layers) if "useradd" in layer), None)  # newest first
    if first is None:
        raise Problem(f"{name}/Dockerfile no longer begins with useradd: say here where its own layers begin.")
    megabytes = sum(int(layer.split()[0]) for layer in layers[: first + 1]) / 1_000_000
    if megabytes > _MEGABYTES_BEYOND_THE_BASE:
        raise Problem(f"The image of {name} adds {megabytes:.0f} MB to its base: {_MEGABYTES_BEYOND_THE_BASE} at most.")
    say(f"  {name}: {megabytes:.0f} MB beyond the base image, user {user}")


def _check_started() -> None:
    """What `up --wait` promises, and that the definitions were loaded: some of them no service makes."""
    for name in (*layout.SERVICES, "console"):
        status, body = health.ask(_PORTS[name])
        if not health.is_well(name, status, body):
            raise Problem(f"compose says that {name} is healthy, but /health answers {status}.", body)
    for row in docker.containers(_PROJECT):
        if row["State"] == "running":
            refuse_rights(row["Name"])
    most = int(engine("inspect", "--format", "{{.HostConfig.Memory}}", f"{_PROJECT}-rabbitmq-1"))
    eventually(
        "RabbitMQ would be killed before it stops taking messages (rabbitmq.conf, mem_limit)",
        lambda: 0 < _management("nodes")[0].get("mem_limit", 0) <= most / 2,
    )
    wanted = json.loads(layout.DEFINITIONS.read_text())
    for kind in ("exchanges", "queues"):
        missing = {item["name"] for item in wanted[kind]} - {item["name"] for item in _management(kind)}
        if missing:
            raise Problem(f"RabbitMQ lacks these {kind} of {layout.DEFINITIONS.name}: {', '.join(sorted(missing))}.")


def _check_exits() -> None:
    in_order = ("0", str(128 + signal.SIGTERM))
    for row in docker.containers(_PROJECT):
        if row["Service"] in layout.SERVICES and str(row.get("ExitCode")) not in in_order:
            raise Problem(f"{row['Service']} did not end in order: exit code {row.get('ExitCode')}.")


def _settled() -> dict[str, Any]:
    """All orders and stock, as the services tell them once every order is final and its stock sold or given back."""
    orders, stock = f"http://127.0.0.1:{_PORTS['order-service']}", f"http://127.0.0.1:{_PORTS['inventory-service']}"
    customers = sorted(set(re.findall(r'"customer_id": "([^"]*)"', (layout.ROOT / "README.md").read_text())))

    def books() -> dict[str, Any]:
        placed = [order for customer in customers for order in _get(f"{orders}/orders/customer/{customer}")]
        return {"orders": {order["id"]: order["status"] for order in placed}, "stock": _get(f"{stock}/inventory")}

    def final() -> bool:
        now = books()
        is_open = {"pending", "confirmed"} & set(now["orders"].values())
        return not is_open and not any(item["reserved_quantity"] for item in now["stock"])

    eventually("an order is not final, or its stock is still held", final)
    return books()


def _management(path: str) -> Any:
    return _get(f"http://127.0.0.1:{_PORTS['rabbitmq-management']}/api/{path}")


def _get(url: str) -> Any:
    request = urllib.request.Request(url)  # noqa: S310 (always http)
    secret = base64.b64encode(f"{layout.RABBITMQ_USER}:{layout.RABBITMQ_PASSWORD}".encode()).decode()
    request.add_header("Authorization", f"Basic {secret}")  # the services don't mind
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)


def _compose(*arguments: str) -> None:
    if docker.compose(arguments, project=_PROJECT, env=_ENVIRONMENT) != 0:
        raise Problem(f"`docker compose {' '.join(arguments)}` failed, as stands above.")


@contextmanager
def _clean() -> Iterator[None]:
    """Leaves nothing behind, and begins with nothing that a run that was killed left."""
    remove = ("--profile", "operations", "down", "--volumes", "--remove-orphans", "--rmi", "all", "--timeout", "10")
    with _bounded(_CLEANING_SECONDS):
        _compose(*remove)
    try:
        yield
    except BaseException:
        docker.compose(["ps", "--all"], project=_PROJECT, env=_ENVIRONMENT)
        docker.compose(["logs", "--tail", "30"], project=_PROJECT, env=_ENVIRONMENT)
        raise
    finally:
        with _bounded(_CLEANING_SECONDS):
            _compose(*remove)


@contextmanager
def _bounded(seconds: int) -> Iterator[None]:
    def late(*_: int | FrameType | None) -> None:
        raise Problem(f"This test has not ended after {seconds} s.")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _terminated(*_: int | FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
