"""One command line for all that an operator does."""

from pathlib import Path

import pytest

from operations import __main__ as command_line
from tests.commands import run

COMMANDS = (
    *("books", "metrics", "dead-letters", "events", "backup", "restore"),
    *("reconcile", "demo", "load", "issuer", "token"),
)
NOWHERE = {f"{name}_SERVICE_URL": "http://127.0.0.1:9" for name in ("ORDER", "INVENTORY", "PAYMENT", "NOTIFICATION")}


def test_the_help_has_a_line_for_each_command() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    assert tuple(command_line._COMMANDS) == COMMANDS
    for name in COMMANDS:
        (line,) = [line for line in shown.stdout.splitlines() if line.split(maxsplit=1)[:1] == [name]]
        assert len(line.split()) > 3


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    shown = run(command, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"usage: operations {command} ")


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        ("books", "DATABASE_URL"),
        ("dead-letters", "RABBITMQ_URL"),
        ("events", "RABBITMQ_URL"),
        ("backup", "DATABASE_URL"),
        ("reconcile", "DATABASE_URL"),
        ("load", "DATABASE_URL"),
    ],
)
def test_where_nothing_names_a_server_a_line_says_how_to_name_it(command: str, variable: str) -> None:
    shown = run(command)
    assert (shown.returncode, shown.stdout) == (2, "")
    (line,) = shown.stderr.splitlines()
    assert line.startswith(f"{variable} is not set")
    assert "`make`" in line


def test_a_url_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "database.url"
    missing = run("books", DATABASE_URL_FILE=str(file))
    assert (missing.returncode, missing.stderr) == (
        2,
        f"DATABASE_URL_FILE: {file} can't be read: No such file or directory.\n",
    )

    file.write_text("postgresql://auditor_a:a-secret@127.0.0.1:9/shop\n")
    away = run("books", DATABASE_URL_FILE=str(file))
    assert away.returncode == 2
    assert "is the system up?" in away.stderr
    assert "a-secret" not in away.stderr


@pytest.mark.parametrize(
    ("command", "status", "complaint"),
    [
        ("books", 2, "is the system up?"),
        ("backup", 1, "pg_dump"),
        ("dead-letters", 1, "Is it up"),
        ("events", 2, "is the system up?"),
        ("reconcile", 2, "Connect"),
        ("demo", 1, "`make up`"),
        ("load", 2, "`make up`"),
    ],
)
def test_without_a_running_system_a_line_says_so(command: str, status: int, complaint: str) -> None:
    servers = {"DATABASE_URL": "postgresql://a:b@127.0.0.1:9/c", "RABBITMQ_URL": "amqp://a:b@127.0.0.1:9/"}
    shown = run(command, **servers, **NOWHERE)
    assert (shown.returncode, shown.stdout) == (status, "")
    assert complaint in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("action", ["redrive", "drop"])
def test_dead_letters_are_not_touched_unless_it_is_said_which(action: str) -> None:
    shown = run("dead-letters", action, RABBITMQ_URL="amqp://a:b@127.0.0.1:9/")
    assert (shown.returncode, shown.stdout, shown.stderr) == (2, "", f"{action} needs --id or --all\n")
