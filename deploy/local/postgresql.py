"""A PostgreSQL server of our own, from the machine's programs, with its data in the profile's folder."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import layout
import processes
from console import Problem, shown, tail
from profiles import Profile

NAME = "postgres"
PACKAGE = "postgresql"
_COMMAND_SECONDS = 120
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)

_SETTINGS = """\
# Written at every start by deploy/local/postgresql.py.
include = '{settings}'
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
"""


def programs() -> Path | None:
    """The folder that holds initdb and pg_ctl, of the newest version there is."""
    found = [folder for place in _PLACES for folder in Path("/").glob(place[1:]) if (folder / "initdb").exists()]
    if found:
        return max(found, key=_version)
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def start(profile: Profile) -> None:
    """Makes the data folder and the database where these lack, and returns once the server answers."""
    programs_folder = programs()
    assert programs_folder is not None
    data, log = profile.home / "postgres", profile.log(NAME)
    log.parent.mkdir(parents=True, exist_ok=True)
    prefix = _ordinary_user(profile.home)
    if not (data / "PG_VERSION").exists():
        _initialise(programs_folder, prefix, data, log)
    made_with = (data / "PG_VERSION").read_text().strip()
    if made_with != _run([programs_folder / "postgres", "--version"], log).split()[2].split(".")[0]:
        raise Problem(
            f"The data in {data} is PostgreSQL {made_with}'s, which this machine no longer has: "
            "install that version again, or forget the data with `make reset`."
        )
    settings = _SETTINGS.format(settings=layout.POSTGRES_SETTINGS, port=profile.ports[NAME])
    (data / "local.conf").write_text(settings)
    _remove_stale_number(data / "postmaster.pid")
    if prefix:
        _give(data, log)
    _launch([*prefix, programs_folder / "pg_ctl", "-D", data, "-w", "-t", "60", "-l", log, "start"], log)
    process = processes.identify(_number(data / "postmaster.pid"))
    if process is None:
        raise Problem(f"PostgreSQL ended right after its start: see {shown(log)}.", tail(log))
    profile.record(NAME, process)
    _create_database(programs_folder, profile.ports[NAME], log)


def stop(profile: Profile) -> None:
    """A fast shutdown: open sessions are ended, what was committed is kept."""
    if NAME in profile.processes:
        processes.stop([profile.processes[NAME]], signal.SIGINT, seconds=30)
        profile.forget(NAME)


def url(profile: Profile, user: str = layout.POSTGRES_USER, password: str = layout.POSTGRES_PASSWORD) -> str:
    return f"postgresql+asyncpg://{user}:{password}@localhost:{profile.ports[NAME]}/{layout.DATABASE}"


def _initialise(programs_folder: Path, prefix: list[str], data: Path, log: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data.parent) as folder:
        password = Path(folder) / "password"
        password.write_text(layout.POSTGRES_PASSWORD + "\n")
        if prefix:
            _give(data, Path(folder))
        initdb: list[str | Path] = [
            programs_folder / "initdb",
            "-D",
            data,
            "-U",
            layout.POSTGRES_USER,
            f"--pwfile={password}",
        ]
        _run([*prefix, *initdb, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"], log)
    with (data / "postgresql.conf").open("a") as settings:
        settings.write("\ninclude = 'local.conf'\n")


def _launch(command: Sequence[str | Path], log: Path) -> None:
    """Starts the server; after a crash, as soon as the last session of the one before has noticed it."""
    for _ in range(40):
        try:
            _run(command, log)
            return
        except Problem as problem:
            if "is still in use" not in problem.detail:
                raise
            time.sleep(0.25)
    _run(command, log)


def _number(path: Path) -> int:
    return int(path.read_text().split()[0])


def _remove_stale_number(path: Path) -> None:
    """After a crash PostgreSQL takes any process of that number for a server, even one that has only to be reaped."""
    try:
        number = _number(path)
    except (OSError, ValueError, IndexError):
        return
    if processes.identify(number) is None or processes.program(number) != "postgres":
        path.unlink()


def _create_database(programs_folder: Path, port: int, log: Path) -> None:
    psql: list[str | Path] = [
        programs_folder / "psql",
        "-X",
        "-q",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-U",
        layout.POSTGRES_USER,
    ]
    exists = f"SELECT 1 FROM pg_database WHERE datname = '{layout.DATABASE}'"
    if not _run([*psql, "-d", "postgres", "-A", "-t", "-c", exists], log).strip():
        _run([*psql, "-d", "postgres", "-c", f"CREATE DATABASE {layout.DATABASE}"], log)


def _ordinary_user(home: Path) -> list[str]:
    """PostgreSQL refuses to be root: what to put before its commands so that it sees itself as another user."""
    if os.geteuid() != 0:
        return []
    user = _user()
    plain = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # Below a folder that is root's alone it needs root's right to pass, and nothing else of root's.
    passing = [*plain, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    for prefix in (plain, passing) if shutil.which("setpriv") else ():
        reads: list[str | Path] = ["sh", "-c", 'ls "$1" && cat "$2"', "sh", home, layout.POSTGRES_SETTINGS]
        if subprocess.run([*prefix, *reads], capture_output=True).returncode == 0:
            return prefix
    raise Problem(
        f"PostgreSQL refuses to run as root, and no other user can be let into {home}: "
        "run make as an ordinary user, or from a folder that all can enter."
    )


def _user() -> pwd.struct_passwd:
    """Somebody whom the machine knows: PostgreSQL asks for the name."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _give(*paths: Path) -> None:
    user = _user()
    for path in paths:
        path.touch(exist_ok=True)
        subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", path], check=True)


def _run(command: Sequence[str | Path], log: Path) -> str:
    """Runs to the end; what it says goes to the log too. Its output is no pipe: the server would hold that open."""
    with tempfile.TemporaryFile("w+") as output:
        try:
            status = subprocess.run(
                [str(part) for part in command],
                env=layout.inherited_environment() | {"PGPASSWORD": layout.POSTGRES_PASSWORD, "LC_ALL": "C"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_COMMAND_SECONDS,
            ).returncode
        except subprocess.TimeoutExpired:
            output.write(f"has not ended after {_COMMAND_SECONDS} s")
            status = 1
        output.seek(0)
        text = output.read()
    if status != 0:
        detail = "\n".join(part for part in (text.strip(), tail(log, 15)) if part)
        program = next(Path(part).name for part in command if Path(part).parent.name == "bin")
        raise Problem(
            f"PostgreSQL's {program} failed: its last lines stand above, all of them in {shown(log)}.", detail
        )
    return text


def _version(folder: Path) -> list[int]:
    return [int(digits) for digits in "".join(c if c.isdigit() else " " for c in str(folder)).split()]
