"""The part of `make test-compose` that runs docker-compose.secure.yml, as `make up SECURE=1 RUN_WITH=docker` does it:
the README's secure lines, and who gets in where."""

import http.client
import io
import json
import re
import ssl
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import docker
import layout
import profiles
import secure
import servers
from compose_checks import engine, eventually, refuse_rights
from console import Problem, say
from profiles import Profile
from replicas import CONSOLE

_WORD = "compose-test"
_NAME = f"{profiles.SECURE}-{_WORD}"
_REPLICAS, _ORDERS, _CLIENTS = 3, 320, 8
_RUN = (sys.executable, str(layout.ROOT / "deploy" / "local" / "run.py"))
_LINES = (sys.executable, str(layout.ROOT / "deploy" / "local" / "readme_lines.py"))
# Greets PostgreSQL without TLS, at the address of its arguments, as whoever is in the network may, and prints what
# comes back. A RabbitMQ that spoke AMQP or HTTP without TLS would answer too, if only to say that this is neither.
_PLAIN = r"""
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as plain:
        plain.sendall(b"\0\0\0\x17\0\3\0\0user\0postgres\0\0")
        print(plain.recv(1000))
except OSError as error:
    print(type(error).__name__)
"""
_ANSWERS = {
    ("postgres", 5432): "no encryption",
    ("rabbitmq", 5671): r"b''|b'\\x15|ConnectionReset",  # an alert of TLS, if anything
    ("rabbitmq", 15671): r"b''|b'\\x15|ConnectionReset",
    ("rabbitmq", 5672): "ConnectionRefused",
    ("rabbitmq", 15672): "ConnectionRefused",
}


def check(settings: dict[str, str]) -> None:
    """`settings` are those under which the README's answers come."""
    own = {"SECURE": _WORD, "RUN_WITH": "docker", layout.replicas_variable("order-service"): str(_REPLICAS)}
    environment = layout.inherited_environment() | settings | own
    with _edge_image(), _clean(environment):
        _said(environment, *_RUN, "up")
        system = profiles.load(_NAME)
        _said(environment, *_LINES, f"edge={system.ports['edge']}")
        _check_containers(system)
        _check_secrets(system)
        _check_plain_connections(system)
        _check_edge(system, environment)
        kept = _books(environment)
        _said(environment, *_RUN, "dead-letters")
        say("stopping the secure system, and starting it again")
        _said(environment, *_RUN, "down")
        _said(environment, *_RUN, "up")
        if _books(environment) != kept:
            raise Problem("`make down` and `make up` changed the secure system's data.", kept)


def _check_containers(system: Profile) -> None:
    """Nothing but the edge and the issuer can be reached, and those from this machine alone; nothing has rights."""
    published = set()
    for name, container in _running(system):
        refuse_rights(container)
        for port, places in json.loads(
            engine("inspect", "--format", "{{json .NetworkSettings.Ports}}", container)
        ).items():
            published |= {(name, port, place["HostIp"]) for place in places or []}
    if published != {("edge", "8443/tcp", "127.0.0.1"), ("issuer", "8090/tcp", "127.0.0.1")}:
        raise Problem("Other ports are published than those of edge and issuer.", str(published))


def _check_secrets(system: Profile) -> None:
    """A service's container has nothing of another's, wherever one looks: in its volumes, or in its environment."""
    [vault] = [container for name, container in _all(system) if name == "secrets"]
    secrets = {
        path: text for path, text in _files(vault, "/secrets/vault") if path.endswith((".key", "password", "cookie"))
    }
    for name, container in _running(system):
        if name not in (*layout.SERVICES, CONSOLE):
            continue
        volumes = engine("inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", container).split()
        if volumes != [f"{servers.project(system)}_{name}"]:
            raise Problem(f"{name} has other volumes than its own.", str(volumes))
        seen = engine("inspect", container) + "".join(text for _, text in _files(container, "/secrets"))
        found = {
            path for path, text in secrets.items() if text.splitlines()[-2 if path.endswith(".key") else 0] in seen
        }
        own = {f"tls/{name}.key", f"secrets/{name}.rabbitmq-password"}
        own |= {f"secrets/{name}.database-password"} if name in layout.DATABASE_ROLES else set()
        if name == CONSOLE:
            own = {f"tls/{name}.key", "secrets/operations.rabbitmq-password", "secrets/auditor.database-password"}
        if found != own:
            raise Problem(f"{name} sees other secrets than its own.", f"{sorted(found)}\n{sorted(own)}")


def _check_plain_connections(system: Profile) -> None:
    container = next(container for name, container in _running(system) if name == "notification-service")
    for (host, port), expected in _ANSWERS.items():
        answer = engine("exec", container, "python", "-c", _PLAIN, host, str(port))
        if not re.search(expected, answer):
            raise Problem(f"{host}:{port} answers who speaks no TLS.", answer)


def _check_edge(system: Profile, environment: Mapping[str, str]) -> None:
    """Orders under a key go through while one of three replicas dies. The edge hides that from all clients but the one
    that was just getting its answer."""
    say(f"placing {_ORDERS} orders while a replica is killed")
    staff = _said(environment, *_RUN, "token", "--role", "staff", quiet=True).strip()
    trust, product = ssl.create_default_context(cafile=str(secure.authority(system))), str(uuid4())
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {staff}"}
    repeated: list[str] = []

    def ask(
        edge: http.client.HTTPSConnection, method: str, path: str, body: Any = None, **more: str
    ) -> tuple[int, Any]:
        edge.request(method, path, None if body is None else json.dumps(body), more)
        answer = edge.getresponse()
        return answer.status, json.loads(answer.read())

    def connected() -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("localhost", system.ports["edge"], timeout=60, context=trust)

    def order(edge: http.client.HTTPSConnection) -> tuple[int, Any]:
        """Sent again, as a key allows, if the replica has died between the head of its answer and the body."""
        items = [{"product_id": product, "quantity": 1, "price": 10}]
        body, key = {"customer_id": str(uuid4()), "items": items}, str(uuid4())
        for _ in range(2):
            try:
                return ask(edge, "POST", "/orders", body, **headers, **{"Idempotency-Key": key})
            except (OSError, http.client.HTTPException) as error:
                repeated.append(repr(error))
                edge.close()  # the next request connects anew
        return 0, repeated[-1]

    def client(number: int) -> list[tuple[int, Any]]:
        edge, answers = connected(), []
        for count in range(_ORDERS // _CLIENTS):
            if number == 0 and count == _ORDERS // _CLIENTS // 3:
                engine("kill", next(container for name, container in _running(system) if name == "order-service"))
            answers.append(order(edge))
        return answers

    if (without := ask(connected(), "GET", "/inventory"))[0] != 401:
        raise Problem("The edge lets somebody in who has no token.", str(without))
    if (stocked := ask(connected(), "PUT", f"/inventory/{product}", {"quantity_available": 10_000}, **headers))[
        0
    ] != 201:
        raise Problem("Staff can't set stock.", str(stocked))
    for method, path in (("GET", "/api/caller"), ("GET", "/api/dead-letters"), ("POST", "/api/books")):
        if (page := ask(connected(), method, path, {} if method == "POST" else None, **headers))[0] != 200:
            raise Problem(f"The page's server does not answer {method} {path}.", str(page))
    with ThreadPoolExecutor(_CLIENTS) as pool:
        answers = [answer for its in pool.map(client, range(_CLIENTS)) for answer in its]
    if wrong := [answer for answer in answers if answer[0] != 201]:
        raise Problem(f"{len(wrong)} of {len(answers)} orders were not taken.", str(wrong[:3]))
    if len(repeated) > 1:
        raise Problem("More than one client had to send its order again.", "\n".join(repeated))
    if len({body["id"] for _, body in answers}) != len(answers):
        raise Problem("Two requests got one order.")
    [edge] = [container for name, container in _running(system) if name == "edge"]
    metrics = engine("exec", edge, "wget", "-qO-", "http://127.0.0.1:8404/metrics")
    served = re.findall(
        r'^haproxy_server_http_responses_total\{proxy="order-service",server="([^"]+)",code="2xx"\} (\d+)',
        metrics,
        re.M,
    )
    if len([server for server, count in served if int(count)]) != _REPLICAS:
        raise Problem("The edge doesn't balance over all replicas.", str(served))


def _books(environment: Mapping[str, str]) -> str:
    """What they say once every order is final."""
    said = ""

    def final() -> bool:
        nonlocal said
        done = subprocess.run([*_RUN, "books"], env=environment, capture_output=True, text=True, timeout=120)
        said = done.stdout
        return done.returncode == 0 and not re.search("pending|confirmed", said)

    eventually("the secure system's books don't agree, or an order isn't final", final)
    say(f"  {said.strip()}")
    return said


def _all(system: Profile, state: str = "") -> list[tuple[str, str]]:
    rows = docker.containers(servers.project(system), secure=True)
    return [(row["Service"], row["Name"]) for row in rows if state in ("", row["State"])]


def _running(system: Profile) -> list[tuple[str, str]]:
    return _all(system, "running")


def _files(container: str, folder: str) -> Iterator[tuple[str, str]]:
    """Path and content of each file there, also of a container that has ended."""
    done = subprocess.run(["docker", "cp", f"{container}:{folder}/.", "-"], capture_output=True, timeout=60, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            if (file := archive.extractfile(member)) is not None:
                yield member.name.removeprefix("./"), file.read().decode()


def _said(environment: Mapping[str, str], *command: str, quiet: bool = False) -> str:
    """Shows what it prints unless `quiet`, which returns it."""
    sys.stdout.flush()
    done = subprocess.run(command, env=dict(environment), stdout=subprocess.PIPE if quiet else None, text=True)
    if done.returncode != 0:
        raise Problem(f"`{' '.join(command[1:])}` failed with SECURE={_WORD}, as stands above.")
    return done.stdout or ""


@contextmanager
def _edge_image() -> Iterator[None]:
    """Where HAProxy's image is neither here nor to be had, Debian's HAProxy takes its name for the time of the test."""
    [image] = re.findall(r"^FROM (\S+)", (layout.ROOT / "deploy" / "edge" / "Dockerfile").read_text(), re.M)
    ways = (["image", "inspect", image], ["pull", "--quiet", image])
    if any(subprocess.run(["docker", *way], capture_output=True, timeout=300).returncode == 0 for way in ways):
        yield
        return
    say(f"NOTE: {image} can't be pulled. The edge is tested with the HAProxy of Debian's packages instead.")
    packages = "apt-get update -qq && apt-get install -y -qq --no-install-recommends haproxy wget"
    text = f"FROM python:3.13-slim\nRUN {packages} && rm -rf /var/lib/apt/lists/*\n"
    subprocess.run(["docker", "build", "--quiet", "--tag", image, "-"], input=text, text=True, timeout=600, check=True)
    try:
        yield
    finally:
        engine("rmi", "--force", image)


@contextmanager
def _clean(environment: Mapping[str, str]) -> Iterator[None]:
    """Leaves nothing behind, and begins with nothing that a run that was killed left."""

    def remove() -> None:
        compose("--profile", "operations", "down", "--volumes", "--remove-orphans", "--rmi", "all", "--timeout", "10")
        profiles.load(_NAME).discard()

    def compose(*arguments: str) -> None:
        docker.compose(arguments, project=servers.project(profiles.load(_NAME)), secure=True)

    remove()
    try:
        yield
    except BaseException:
        compose("ps", "--all")
        compose("logs", "--tail", "30")
        raise
    finally:
        remove()
