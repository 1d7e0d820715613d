"""The edge before the services, which `make up EDGE=1` starts too: see deploy/edge/haproxy.cfg."""

import ssl
import time
import urllib.request

import credentials
import layout
import packages
import ports
import supervisor
from console import Problem, shown, size, tail
from profiles import Profile
from replicas import CONSOLE, EDGE, internal, processes, service_of

NAMES, PACKAGES, PROJECTS = (EDGE,), ("haproxy",), ()
_PORTS = ("edge", "edge-metrics")
_ANSWERS_WITHIN_SECONDS = 30


def wanted(profile: Profile) -> bool:
    return profile.secure or layout.setting("EDGE") not in ("", "0")


def choose_ports(profile: Profile) -> None:
    if profile.personal:
        chosen = {name: ports.named(name) for name in _PORTS}
        ports.refuse_taken(chosen)
    else:
        chosen = dict(zip(_PORTS, ports.choose(len(_PORTS), avoiding=profile.ports.values()), strict=True))
    profile.ports |= chosen


def start(profile: Profile) -> None:
    """Starts it in front of the services' processes, with a new certificate, without waiting for it."""
    certificates, backends = profile.home / "tls", profile.home / "edge.cfg"
    credentials.make_certificates(profile.home, profile.log("certificates"), credentials.EDGE_NAMES)
    lines = []
    for service in (*layout.SERVICES, CONSOLE):
        lines.append(f"backend {service} from {'page' if service == CONSOLE else 'service'}\n")
        for name in (process for process in processes(profile) if service_of(process) == service):
            health = f" port {profile.ports[internal(name)]} verifyhost {service}" if profile.secure else ""
            lines.append(f"    server {name} 127.0.0.1:{profile.ports[name]} check{health}\n")
    backends.write_text("".join(lines))
    settings = {name: layout.setting(name) for name in layout.settings() if name.startswith("EDGE_")}
    environment = {name: value for name, value in settings.items() if value} | {
        "EDGE_ADDRESS": "127.0.0.1",  # whatever the shell says: behind it nobody may be checked
        "EDGE_METRICS_ADDRESS": "127.0.0.1",
        "EDGE_PORT": str(profile.ports["edge"]),
        "EDGE_METRICS_PORT": str(profile.ports["edge-metrics"]),
        "EDGE_CERTIFICATE": str(certificates / "edge.crt"),
    }
    if profile.secure:
        environment |= {
            "EDGE_SERVICES_CA": str(certificates / "ca.crt"),
            "EDGE_CLIENT_CERTIFICATE": str(certificates / "edge.crt"),
        }
    haproxy = packages.find("haproxy") or "haproxy"
    command = (haproxy, "-W", "-f", layout.ROOT / "deploy" / "edge" / "haproxy.cfg", "-f", backends)
    supervisor.launch(profile, EDGE, command, environment, layout.ROOT)


def wait(profile: Profile) -> None:
    """Returns once it answers that every service has a replica; raises Problem with its log if it ends or is late."""
    log, deadline = profile.log(EDGE), time.monotonic() + _ANSWERS_WITHIN_SECONDS
    trust = ssl.create_default_context(cafile=str(profile.home / "tls" / "ca.crt"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    before = size(log)
    while True:
        supervisor.must_run(profile, EDGE, before)
        try:
            with opener.open(f"https://127.0.0.1:{profile.ports['edge']}/health", timeout=5):
                return
        except OSError as error:  # HTTPError is one
            if time.monotonic() > deadline:
                sentence = f"The edge is not healthy after {_ANSWERS_WITHIN_SECONDS} s ({error}): see {shown(log)}."
                raise Problem(sentence, tail(log, 15)) from None
        time.sleep(0.1)
