"""Which servers tests use: those that make started or somebody named, and never one that merely answers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from xmlrpc.server import SimpleXMLRPCServer

import pytest

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = ("DATABASE_URL", "RABBITMQ_URL", "RABBITMQ_MANAGEMENT_URL", "REQUIRE_SERVERS")
NAMED = {
    "DATABASE_URL": "postgresql+asyncpg://me:mine@named:1/mine",
    "RABBITMQ_URL": "amqp://me:mine@named:2/",
    "RABBITMQ_MANAGEMENT_URL": "http://me:mine@named:3",
}
USED = ["postgresql://me:mine@named:1/mine", "amqp://me:mine@named:2/", "http://me:mine@named:3"]
OF_MAKE = [
    "postgresql://postgres:postgres@localhost:11/order_processing",
    "amqp://admin:admin@localhost:12/",
    "http://admin:admin@127.0.0.1:13",
]
SAY = """
import chassis.testing as servers
def say(ask):
    try:
        return ask()
    except servers.NoServer as error:
        return ()
database = say(servers.administrators_url)
print(__import__("json").dumps([*([database] if database else []), *say(servers.broker_urls)]))
"""
WATCHED = """
import sys
def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        with open({file!r}, "a") as notes:
            print(event, arguments[1:], file=notes)
sys.addaudithook(note)
"""
TESTS = """
def test_that_needs_postgresql(database_url): pass
def test_that_needs_rabbitmq(rabbitmq_url): pass
def test_that_needs_nothing(): pass
"""


class Clone:
    """A root with the chassis and make's scripts in it, and a service's folder with tests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for part in ("chassis/src", "deploy/local"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        services = Path("operations", "operations", "services.json")
        (root / services).parent.mkdir(parents=True)
        shutil.copy(ROOT / services, root / services)
        (root / "service" / "tests").mkdir(parents=True)
        (root / "service" / "tests" / "test_it.py").write_text(TESTS)
        (root / "watched").mkdir()
        (root / "watched" / "sitecustomize.py").write_text(WATCHED.format(file=str(root / "connections")))

    def run(self, *arguments: str, **environment: str) -> str:
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        path = f"{self.root / 'chassis' / 'src'}{os.pathsep}{self.root / 'watched'}"
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root / "service",
            env=inherited | {"PYTHONPATH": path} | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not done.stderr, done.stderr
        return done.stdout

    def used(self, **environment: str) -> list[str]:
        found: list[str] = json.loads(self.run("-c", SAY, **environment))
        return found

    def pytest(self, **environment: str) -> str:
        options = ("-p", "chassis.testing", "-p", "no:asyncio", "-p", "no:cacheprovider", "-ra", "tests")
        return self.run("-m", "pytest", *options, **environment)

    def connections(self) -> str:
        notes = self.root / "connections"
        return notes.read_text() if notes.exists() else ""

    def make_up(self, *, supervisor_port: int = 0) -> None:
        """As if make had started the servers, and stopped them again unless a supervisor answers at the port."""
        ports = {"postgres": 11, "rabbitmq": 12, "rabbitmq-management": 13, "supervisor": supervisor_port}
        state = {"mode": "native", "ports": ports, "secret": "ours" if supervisor_port else ""}
        home = self.root / ".run" / "system"
        home.mkdir(parents=True)
        (home / "state.json").write_text(json.dumps(state))


@pytest.fixture
def supervisor_port() -> Iterator[int]:
    """Where a supervisor says that both servers run."""
    info = [{"name": name, "statename": "RUNNING"} for name in ("postgres", "rabbitmq")]
    with SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False) as server:
        server.register_function(lambda: {"statecode": 1}, "supervisor.getState")
        server.register_function(lambda: info, "supervisor.getAllProcessInfo")
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield server.server_address[1]
        server.shutdown()
        serving.join()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone")


@pytest.mark.parametrize("stopped", [False, True], ids=["never up", "up once"])
def test_without_a_server_tests_are_skipped_with_a_line_and_connect_to_nobody(clone: Clone, stopped: bool) -> None:
    if stopped:
        clone.make_up()
    shutil.copy(ROOT / ".env.example", clone.root / ".env")  # which changes nothing

    said = clone.pytest()

    assert said.splitlines()[-1].strip("= ").startswith("1 passed, 2 skipped in")
    for server in ("PostgreSQL: nothing names DATABASE_URL", "RabbitMQ: nothing names RABBITMQ_URL"):
        assert server in said
    assert said.count("start the system with `make up`, name a server by DATABASE_URL") == 2
    assert clone.connections() == ""


def test_where_servers_are_required_none_is_a_failure(clone: Clone) -> None:
    said = clone.pytest(REQUIRE_SERVERS="1")

    assert said.splitlines()[-1].strip("= ").startswith("1 passed, 2 errors in")
    assert clone.connections() == ""


def test_a_connection_would_have_been_noticed(clone: Clone) -> None:
    """Else the tests above prove nothing."""
    assert "2 skipped" in clone.pytest(
        DATABASE_URL="postgresql://a:b@127.0.0.1:1/c",
        RABBITMQ_URL="amqp://127.0.0.1:1/",
        RABBITMQ_MANAGEMENT_URL="http://127.0.0.1:1",
    )
    assert clone.connections().count("('127.0.0.1', 1)") == 2


def test_the_environment_wins_over_the_file_and_that_over_make(clone: Clone, supervisor_port: int) -> None:
    assert clone.used() == []
    clone.make_up(supervisor_port=supervisor_port)
    assert clone.used() == OF_MAKE
    in_file = {name: url.replace("named", "in-file") for name, url in NAMED.items()}
    (clone.root / ".env").write_text("".join(f"{name}={url}\n" for name, url in in_file.items()))
    assert clone.used() == [url.replace("named", "in-file") for url in USED]
    assert clone.used(**NAMED) == USED
    assert clone.used(DATABASE_URL=NAMED["DATABASE_URL"])[0] == USED[0]


def test_one_address_of_a_broker_is_not_made_up_for_by_another_brokers(clone: Clone, supervisor_port: int) -> None:
    clone.make_up(supervisor_port=supervisor_port)
    assert clone.used(RABBITMQ_URL=NAMED["RABBITMQ_URL"]) == OF_MAKE[:1]
    assert clone.used(DATABASE_URL=NAMED["DATABASE_URL"]) == [USED[0], *OF_MAKE[1:]]
