"""A RabbitMQ node of our own, from the machine's programs, with its data in the profile's folder."""

import base64
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import credentials
import layout
import ports
import profiles
import secure
import supervisor
from console import Problem, shown, size, tail
from profiles import Profile

NAME = "rabbitmq"
MANAGEMENT = "rabbitmq-management"
METRICS = "rabbitmq-metrics"
PACKAGE = "rabbitmq-server"
_EPMD = "epmd"  # Erlang's port mapper; the node has one of its own, which outlives it
_ANSWERS_WITHIN_SECONDS = 90
# Not /usr/sbin: the script there changes the user, and insists on /var/lib/rabbitmq.
_PLACES = (
    "/usr/lib/rabbitmq/bin",
    "/usr/local/lib/rabbitmq/bin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
)

_SETTINGS = """\
# Written at every start by deploy/local/rabbitmq.py.
listeners.{kind}.1 = 127.0.0.1:{port}
management.{kind}.ip = 127.0.0.1
management.{kind}.port = {management_port}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {metrics_port}
default_user = {user}
default_pass = {password}
"""


def server() -> Path | None:
    """The start script of the broker, and only with the port mapper beside it is it of use."""
    if shutil.which("epmd") is None:
        return None
    found = [Path(place, "rabbitmq-server") for place in _PLACES if Path(place, "rabbitmq-server").exists()]
    return found[0] if found else None


def start(profile: Profile) -> None:
    """Starts the node and returns once its management API answers."""
    program, home, log = server(), profile.home / "rabbitmq", profile.log(NAME)
    assert program is not None
    home.mkdir(parents=True, exist_ok=True)
    if not supervisor.alive(profile, _EPMD):
        (profile.ports[_EPMD],) = ports.choose(1, avoiding=profile.ports.values())
    if METRICS not in profile.ports or not ports.is_free(profile.ports[METRICS]):  # else Prometheus knows it
        (profile.ports[METRICS],) = ports.choose(1, avoiding=profile.ports.values())
    environment = _environment(profile, home)
    before = size(log)
    epmd = ("epmd", "-address", "127.0.0.1", "-port", str(profile.ports[_EPMD]))
    if not supervisor.alive(profile, _EPMD):
        supervisor.launch(profile, _EPMD, epmd, environment, home)
    (home / "pid").unlink(missing_ok=True)
    # Who knows it runs code as the node's user. Erlang makes one itself, which can be guessed.
    profiles.write_private(home / ".erlang.cookie", secrets.token_hex(32), mode=0o400)
    supervisor.launch(profile, NAME, [program], environment, home)
    profile.save()
    deadline = time.monotonic() + _ANSWERS_WITHIN_SECONDS
    while True:
        try:
            call(profile, "GET", "/api/overview")
            return
        except (OSError, urllib.error.URLError):
            supervisor.must_run(profile, NAME, before)
        if time.monotonic() > deadline:
            raise Problem(f"RabbitMQ does not answer after {_ANSWERS_WITHIN_SECONDS} s: see {shown(log)}.", tail(log))
        time.sleep(0.1)


def load_definitions(profile: Profile) -> None:
    """Runs the step that compose runs too."""
    step = layout.DEFINITIONS.with_name("load_definitions.py")
    own = {"RABBITMQ_MANAGEMENT_URL": management_url(profile)}
    environment = layout.inherited_environment() | (secure.of_definitions(profile) if profile.secure else own)
    done = subprocess.run([sys.executable, step], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Problem(f"RabbitMQ did not take {layout.DEFINITIONS.relative_to(layout.ROOT)}.", done.stderr)


def url(profile: Profile) -> str:
    return f"amqp://{layout.RABBITMQ_USER}:{layout.RABBITMQ_PASSWORD}@localhost:{profile.ports[NAME]}/"


def management_url(profile: Profile) -> str:
    return f"http://{layout.RABBITMQ_USER}:{layout.RABBITMQ_PASSWORD}@127.0.0.1:{profile.ports[MANAGEMENT]}"


def call(profile: Profile, method: str, path: str, body: bytes | None = None) -> bytes:
    trust = ssl.create_default_context(cafile=str(profile.home / "tls" / "ca.crt") if profile.secure else None)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    url = f"{'https' if profile.secure else 'http'}://127.0.0.1:{profile.ports[MANAGEMENT]}{path}"
    request = urllib.request.Request(url, body, method=method)  # noqa: S310 (one of these two schemes)
    secret = base64.b64encode(f"{layout.RABBITMQ_USER}:{_password(profile)}".encode()).decode()
    request.add_header("Authorization", f"Basic {secret}")
    request.add_header("Content-Type", "application/json")
    with direct.open(request, timeout=10) as answer:
        content: bytes = answer.read()
    return content


def _password(profile: Profile) -> str:
    """The administrator's."""
    if profile.secure:
        return credentials.secret(profile.home, credentials.BROKER_ADMINISTRATOR)
    return layout.RABBITMQ_PASSWORD


def _environment(profile: Profile, home: Path) -> dict[str, str]:
    """Everything that the start script would otherwise take from /etc and /var, so that it touches neither."""
    settings = home / "rabbitmq.conf"
    own = _SETTINGS.format(
        kind="ssl" if profile.secure else "tcp",
        port=profile.ports[NAME],
        management_port=profile.ports[MANAGEMENT],
        metrics_port=profile.ports[METRICS],
        user=layout.RABBITMQ_USER,
        password=_password(profile),
    )
    if profile.encrypts:
        tls = profile.home / "tls"
        beside = None if profile.secure else profile.ports[profiles.RABBITMQ_TLS]
        own += credentials.broker_tls(tls / "ca.crt", tls / f"{NAME}.crt", tls / f"{NAME}.key", beside)
    profiles.write_private(settings, own + layout.RABBITMQ_SETTINGS.read_text())
    (home / "enabled_plugins").write_text("[rabbitmq_management, rabbitmq_prometheus].\n")
    (home / "advanced.config").write_text("[].\n")
    (home / "conf.d").mkdir(exist_ok=True)
    (distribution_port,) = ports.choose(1, avoiding=profile.ports.values())
    return {
        "HOME": str(home),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "ERL_EPMD_PORT": str(profile.ports[_EPMD]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_NODENAME": "order_processing@localhost",
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_CONFIG_FILES": str(home / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(profile.home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        # As in docker-compose.yml: its threads are bound to no core, and don't spin while they wait for work.
        "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
        ),
    }
