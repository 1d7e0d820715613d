"""Prometheus, Alertmanager and what tells Prometheus of books and database, which `make up OBSERVE=1` starts too.
Grafana and the store of traces are in Docker alone: Debian has no packages of them."""

import json
import re
import time

import health
import install
import layout
import packages
import ports
import postgresql
import rabbitmq
import replicas
import secure
import supervisor
from console import Problem, say, shown, size, tail
from profiles import Profile
from replicas import ALERTMANAGER, METRICS, PROMETHEUS

NAMES, PACKAGES, PROJECTS = replicas.OBSERVERS, (PROMETHEUS, f"prometheus-{ALERTMANAGER}"), ("operations",)
IN_DOCKER = (PROMETHEUS, ALERTMANAGER, "grafana", "jaeger")
_CONFIGURATION = layout.ROOT / "deploy" / "observability"
_ADDRESS = re.compile(r'\["([\w-]+):\d+"\]')
_KEPT = "31d"  # the objectives look back 30 days
_READY = {PROMETHEUS: "/-/ready", ALERTMANAGER: "/-/ready", METRICS: "/metrics"}
_ANSWERS_WITHIN_SECONDS = 30


def wanted(_: Profile) -> bool:
    return layout.setting("OBSERVE") not in ("", "0")


def choose_ports(profile: Profile) -> None:
    missing = [name for name in NAMES if not supervisor.alive(profile, name)]
    chosen = {name: ports.named(name) for name in missing if profile.personal and name in layout.PORTS}
    ports.refuse_taken(chosen)
    free = [name for name in missing if name not in chosen]
    profile.ports |= chosen | dict(zip(free, ports.choose(len(free), avoiding=profile.ports.values()), strict=True))


def start(profile: Profile, name: str) -> None:
    """Starts one of them without waiting for it."""
    home, address = profile.home / name, f"127.0.0.1:{profile.ports[name]}"
    home.mkdir(exist_ok=True)
    if name == METRICS:
        where = secure.of_auditor(profile) if profile.secure else {"DATABASE_URL": postgresql.url(profile)}
        command = (install.python("operations"), "-m", "operations", "metrics", "--port", str(profile.ports[name]))
        supervisor.launch(profile, name, command, where, layout.ROOT / "operations")
        return
    configuration = _CONFIGURATION / f"{name}.yml"
    options = [f"--storage.path={home}", "--cluster.listen-address="]
    if name == PROMETHEUS:
        configuration = home / configuration.name
        configuration.write_text(of_prometheus(profile))
        options = [f"--storage.tsdb.path={home}", f"--storage.tsdb.retention.time={_KEPT}"]
    program = "prometheus" if name == PROMETHEUS else f"prometheus-{ALERTMANAGER}"
    options += [f"--config.file={configuration}", f"--web.listen-address={address}"]
    supervisor.launch(profile, name, (packages.find(program) or program, *options), {}, home)


def of_prometheus(profile: Profile) -> str:
    """The configuration for Docker, with the addresses of the profile's processes."""

    def addresses(found: re.Match[str]) -> str:
        name = found[1]
        if name in layout.SERVICES:
            its = [process for process in replicas.of_services(profile) if replicas.service_of(process) == name]
            numbers = [replicas.health_port(profile, process) for process in its]
        else:
            numbers = [profile.ports[rabbitmq.METRICS if name == rabbitmq.NAME else name]]
        return json.dumps([f"127.0.0.1:{number}" for number in numbers])

    def rules(found: re.Match[str]) -> str:
        return f"rule_files: {json.dumps([str(_CONFIGURATION / name) for name in found[1].split(', ')])}"

    text = _ADDRESS.sub(addresses, (_CONFIGURATION / "prometheus.yml").read_text())
    return re.sub(r"rule_files: \[(.*)\]", rules, text)


def wait(profile: Profile) -> None:
    """Returns once all answer; raises Problem with the log of one that ends or is late."""
    deadline = time.monotonic() + _ANSWERS_WITHIN_SECONDS
    before = {name: size(profile.log(name)) for name in _READY}
    for name, path in _READY.items():
        while health.ask(profile.ports[name], path)[0] != 200:
            supervisor.must_run(profile, name, before[name])
            if time.monotonic() > deadline:
                log = profile.log(name)
                raise Problem(f"{name} does not answer after {_ANSWERS_WITHIN_SECONDS} s: see {shown(log)}.", tail(log))
            time.sleep(0.1)


def introduce(profile: Profile) -> None:
    for name in (name for name in IN_DOCKER if name in profile.ports):
        say(f"  {name:<21} http://localhost:{profile.ports[name]}")
