"""A PostgreSQL server of our own, from the machine's programs, with its data in the profile's folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import credentials
import layout
import supervisor
import tools
from console import Problem, shown, size, tail
from profiles import Profile, write_private

NAME = "postgres"
PACKAGE = "postgresql"
_ANSWERS_WITHIN_SECONDS = 60
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)

# Opened by root before it becomes somebody else, who can't come here by the path: `.run` is for its owner only.
_DATA_HELD, _PASSWORD_HELD = "/proc/self/fd/3", "/proc/self/fd/4"
_SETTINGS = """
# Written at every start by deploy/local/postgresql.py.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
"""
_TLS = """
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
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
    prefix = _ordinary_user()
    if not (data / "PG_VERSION").exists():
        _initialise(profile, folder, prefix)
    settings = layout.POSTGRES_SETTINGS.read_text() + _SETTINGS.format(port=profile.ports[NAME])
    if profile.secure:
        write_private(data / "pg_hba.conf", layout.POSTGRES_TLS_ONLY.read_text())
    if profile.encrypts:
        settings += _TLS
        for kind in ("crt", "key"):
            write_private(data / f"server.{kind}", (profile.home / "tls" / f"{NAME}.{kind}").read_text())
    write_private(data / "local.conf", settings)  # never through a link, which the server's user could have put there
    _remove_stale_number(data / "postmaster.pid")
    if prefix:
        _give(data)
    before = size(log)
    command = [*prefix, folder / "postgres", "-D", _DATA_HELD if prefix else data]
    supervisor.launch(profile, NAME, command, {"LC_ALL": "C"}, Path("/"), holding=data)
    _await_database(profile, folder, before)


def url(profile: Profile, user: str = layout.POSTGRES_USER, password: str = layout.POSTGRES_PASSWORD) -> str:
    return f"postgresql+asyncpg://{user}:{password}@localhost:{profile.ports[NAME]}/{layout.DATABASE}"


def _password(profile: Profile) -> str:
    """The superuser's."""
    if profile.secure:
        return credentials.secret(profile.home, credentials.DATABASE_ADMINISTRATOR)
    return layout.POSTGRES_PASSWORD


def _initialise(profile: Profile, folder: Path, prefix: list[str]) -> None:
    data = profile.home / "postgres"
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data.parent) as secret:
        password = Path(secret) / "password"
        write_private(password, f"{_password(profile)}\n")
        options = ["-U", layout.POSTGRES_USER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command: list[str | Path] = [folder / "initdb", "-D", data, f"--pwfile={password}", *options]
        if prefix:
            _give(data, password)
            holding: list[str | Path] = ["sh", "-c", 'exec 3<"$1" 4<"$2"; shift 2; exec "$@"', "sh", data, password]
            place = ["-D", _DATA_HELD, f"--pwfile={_PASSWORD_HELD}"]
            command = [*holding, *prefix, folder / "initdb", *place, *options]
        tools.run(command, profile.log(NAME), "PostgreSQL's initdb failed", Path("/"))
    with (data / "postgresql.conf").open("a") as settings:
        settings.write("\ninclude = 'local.conf'\n")


def _await_database(profile: Profile, folder: Path, log_before: int) -> None:
    """Creates the database as soon as the server answers. After a crash the supervisor may have to start the server
    again, until the last session of the one before has noticed its end."""
    address = ("-h", "127.0.0.1", "-p", str(profile.ports[NAME]), "-U", layout.POSTGRES_USER)
    environment = layout.inherited_environment() | {"PGPASSWORD": _password(profile), "LC_ALL": "C"}
    if profile.secure:
        environment |= {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(profile.home / "tls" / "ca.crt")}
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


def _ordinary_user() -> list[str]:
    """What to put before a command of root's so that it runs as a user who can read nothing of root's, and can't become
    root again: the superuser's password is known to all, and reads files and runs programs as the server's user."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise Problem("PostgreSQL refuses to run as root, and there is no setpriv here: run make as an ordinary user.")
    user = _user()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--no-new-privs"]


def _user() -> pwd.struct_passwd:
    """Not `postgres`: the machine's own databases are that user's."""
    return pwd.getpwnam("nobody")


def _give(*paths: Path) -> None:
    user = _user()
    subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", *paths], check=True)


def _version(folder: Path) -> list[int]:
    return [int(digits) for digits in "".join(c if c.isdigit() else " " for c in str(folder)).split()]
