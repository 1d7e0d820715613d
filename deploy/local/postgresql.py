"""A PostgreSQL server of our own, from the machine's programs, with its data in the profile's folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import layout
import supervisor
import tools
from console import Problem, shown, size, tail
from profiles import Profile

NAME = "postgres"
PACKAGE = "postgresql"
_ANSWERS_WITHIN_SECONDS = 60
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
    """The folder that holds initdb and postgres, of the newest version there is."""
    found = [folder for place in _PLACES for folder in Path("/").glob(place[1:]) if (folder / "initdb").exists()]
    if found:
        return max(found, key=_version)
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def start(profile: Profile) -> None:
    """Makes the data folder and the database where these lack, and returns once the server answers."""
    folder = programs()
    assert folder is not None
    data, log = profile.home / "postgres", profile.log(NAME)
    log.parent.mkdir(parents=True, exist_ok=True)
    prefix = _ordinary_user(profile.home)
    if not (data / "PG_VERSION").exists():
        _initialise(folder, prefix, data, log)
    settings = _SETTINGS.format(settings=layout.POSTGRES_SETTINGS, port=profile.ports[NAME])
    (data / "local.conf").write_text(settings)
    _remove_stale_number(data / "postmaster.pid")
    if prefix:
        _give(data)
    before = size(log)
    supervisor.launch(profile, NAME, [*prefix, folder / "postgres", "-D", data], {"LC_ALL": "C"}, Path("/"))
    _await_database(profile, folder, before)


def url(profile: Profile, user: str = layout.POSTGRES_USER, password: str = layout.POSTGRES_PASSWORD) -> str:
    return f"postgresql+asyncpg://{user}:{password}@localhost:{profile.ports[NAME]}/{layout.DATABASE}"


def _initialise(folder: Path, prefix: list[str], data: Path, log: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data.parent) as secret:
        password = Path(secret) / "password"
        password.write_text(layout.POSTGRES_PASSWORD + "\n")
        if prefix:
            _give(data, Path(secret))
        initdb = (folder / "initdb", "-D", data, "-U", layout.POSTGRES_USER, f"--pwfile={password}")
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")
        tools.run([*prefix, *initdb, *options], log, "PostgreSQL's initdb failed", Path("/"))
    with (data / "postgresql.conf").open("a") as settings:
        settings.write("\ninclude = 'local.conf'\n")


def _await_database(profile: Profile, folder: Path, log_before: int) -> None:
    """Creates the database as soon as the server answers. After a crash the supervisor may have to start the server
    again, until the last session of the one before has noticed its end."""
    address = ("-h", "127.0.0.1", "-p", str(profile.ports[NAME]), "-U", layout.POSTGRES_USER)
    environment = layout.inherited_environment() | {"PGPASSWORD": layout.POSTGRES_PASSWORD, "LC_ALL": "C"}
    deadline, log = time.monotonic() + _ANSWERS_WITHIN_SECONDS, profile.log(NAME)
    while True:
        created = subprocess.run(
            [folder / "createdb", *address, layout.DATABASE],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if created.returncode == 0 or "already exists" in created.stderr:
            return
        if "still in use" not in tail(log, 3):
            supervisor.must_run(profile, NAME, log_before)
        if time.monotonic() > deadline:
            raise Problem(f"PostgreSQL does not answer: see above, and {shown(log)}.", f"{tail(log)}\n{created.stderr}")
        time.sleep(0.1)


def _remove_stale_number(path: Path) -> None:
    """After a crash PostgreSQL takes any process of that number for a server."""
    try:
        number = int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    name = subprocess.run(["ps", "-o", "comm=", "-p", str(number)], capture_output=True, text=True).stdout
    if Path(name.strip()).name != "postgres":
        path.unlink()


def _ordinary_user(home: Path) -> list[str]:
    """PostgreSQL refuses to be root: what to put before its commands so that it sees itself as another user."""
    if os.geteuid() != 0:
        return []
    user = _user()
    plain = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # Below a folder that is root's alone it needs root's right to pass, and nothing else of root's.
    passing = [*plain, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    for prefix in (plain, passing) if shutil.which("setpriv") else ():
        reads: Sequence[str | Path] = ["sh", "-c", 'ls "$1" && cat "$2"', "sh", home, layout.POSTGRES_SETTINGS]
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
    subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", *paths], check=True)


def _version(folder: Path) -> list[int]:
    return [int(digits) for digits in "".join(c if c.isdigit() else " " for c in str(folder)).split()]
