"""A RabbitMQ node of our own, from the machine's programs, with its data in the profile's folder."""

import base64
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import layout
import ports
import processes
from console import Problem, shown, tail
from profiles import Profile

NAME = "rabbitmq"
MANAGEMENT = "rabbitmq-management"
EPMD = "epmd"  # Erlang's port mapper; the node has one of its own, which outlives it
PACKAGE = "rabbitmq-server"
# Not /usr/sbin: the script there changes the user, and insists on /var/lib/rabbitmq.
_PLACES = (
    "/usr/lib/rabbitmq/bin",
    "/usr/local/lib/rabbitmq/bin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
)

_SETTINGS = """\
# Written at every start by deploy/local/rabbitmq.py.
listeners.tcp.1 = 127.0.0.1:{port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
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
    """Starts the node without waiting for it: see `wait`."""
    program = server()
    assert program is not None
    home = profile.home / "rabbitmq"
    home.mkdir(parents=True, exist_ok=True)
    environment = _environment(profile, home)
    epmd = ["epmd", "-address", "127.0.0.1", "-port", environment["ERL_EPMD_PORT"]]
    if not profile.alive(EPMD):
        profile.record(EPMD, processes.start(epmd, profile.log(EPMD), environment))
    Path(environment["RABBITMQ_PID_FILE"]).unlink(missing_ok=True)
    profile.record(NAME, processes.start([program], profile.log(NAME), environment, cwd=home))


def wait(profile: Profile, seconds: float = 90) -> None:
    """Returns once the node's management API answers."""
    deadline = time.monotonic() + seconds
    log = profile.log(NAME)
    while True:
        if not profile.alive(NAME):
            raise Problem(
                f"RabbitMQ did not start: its last lines stand above, all of them in {shown(log)}.", tail(log)
            )
        try:
            call(profile, "GET", "/api/overview")
            break
        except (OSError, urllib.error.URLError):
            pass
        if time.monotonic() > deadline:
            raise Problem(f"RabbitMQ does not answer after {seconds:.0f} s: see {shown(log)}.", tail(log))
        time.sleep(0.1)


def load_definitions(profile: Profile, vhost: str = "%2F") -> None:
    """Makes exchanges, queues and bindings as the definitions file says; those that exist stay as they are."""
    try:
        call(profile, "POST", f"/api/definitions/{vhost}", layout.DEFINITIONS.read_bytes())
    except urllib.error.HTTPError as error:
        answer = error.read().decode(errors="replace")
        raise Problem(f"RabbitMQ refuses {layout.DEFINITIONS.relative_to(layout.ROOT)}: {error}.", answer) from None


def stop(profile: Profile) -> None:
    """The node closes its queues first; then its port mapper goes."""
    if NAME in profile.processes:
        processes.stop([profile.processes[NAME]], signal.SIGTERM, seconds=60)
    if EPMD in profile.processes:
        processes.stop([profile.processes[EPMD]], signal.SIGTERM, seconds=5)
    profile.forget(NAME, EPMD)


def url(profile: Profile) -> str:
    return f"amqp://{layout.RABBITMQ_USER}:{layout.RABBITMQ_PASSWORD}@localhost:{profile.ports[NAME]}/"


def management_url(profile: Profile) -> str:
    return f"http://{layout.RABBITMQ_USER}:{layout.RABBITMQ_PASSWORD}@127.0.0.1:{profile.ports[MANAGEMENT]}"


def call(profile: Profile, method: str, path: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(f"http://127.0.0.1:{profile.ports[MANAGEMENT]}{path}", body, method=method)
    secret = base64.b64encode(f"{layout.RABBITMQ_USER}:{layout.RABBITMQ_PASSWORD}".encode()).decode()
    request.add_header("Authorization", f"Basic {secret}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        content: bytes = answer.read()
    return content


def _environment(profile: Profile, home: Path) -> dict[str, str]:
    """Everything that the start script would otherwise take from /etc and /var, so that it touches neither."""
    settings = home / "rabbitmq.conf"
    settings.write_text(
        _SETTINGS.format(
            port=profile.ports[NAME],
            management_port=profile.ports[MANAGEMENT],
            user=layout.RABBITMQ_USER,
            password=layout.RABBITMQ_PASSWORD,
        )
        + layout.RABBITMQ_SETTINGS.read_text()
    )
    (home / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (home / "advanced.config").write_text("[].\n")
    (home / "conf.d").mkdir(exist_ok=True)
    epmd_port, distribution_port = ports.choose(2, avoiding=profile.ports.values())
    if profile.alive(EPMD):
        epmd_port = profile.ports[EPMD]
    profile.ports[EPMD] = epmd_port
    inherited = {k: v for k, v in layout.inherited_environment().items() if not k.startswith(("RABBITMQ_", "ERL_"))}
    return inherited | {
        "HOME": str(home),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "ERL_EPMD_PORT": str(epmd_port),
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
        # As in docker-compose.yml: its threads are bound to no core.
        "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
