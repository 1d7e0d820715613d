"""One supervisord for each profile: it starts servers and services, brings back those that die, rotates their logs, and
stops the services before the servers.

How a program is started stands in a script of its own, `.run/PROFILE/bin/NAME`, which is written before each start. So
the supervisor needs nothing of the checked-out code: what it runs can be stopped after a branch was changed.
"""

import http.client
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import earlier
import layout
import ports
import replicas
import tools
from console import Problem, say, shown, size, tail
from profiles import Profile, write_private

GRACE_SECONDS = 20  # for open requests; draining what has been committed comes on top
_NAME = "supervisor"
_LOG = "supervisord"
_ANSWERS_WITHIN_SECONDS = 20
# In the order of their start: which signal stops a program, and after how many seconds it is killed.
_SERVERS = {"epmd": ("TERM", 5), "postgres": ("INT", 30), "rabbitmq": ("TERM", 60)}
_SERVICE = ("TERM", GRACE_SECONDS + 15)
_LIGHT = ("TERM", 5)  # nothing is lost with them
_SECURE_ONLY = (replicas.ISSUER, "definitions")
_STOPPED_WITHIN_SECONDS = sum(seconds for _, seconds in (*_SERVERS.values(), _SERVICE)) + 30

_CONFIGURATION = """\
[supervisord]
nodaemon = true
user = {user}
logfile = %(here)s/log/supervisord.log
logfile_maxbytes = 1MB
logfile_backups = 1
pidfile = %(here)s/supervisord.pid
[inet_http_server]
port = 127.0.0.1:{port}
username = make
password = {secret}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[group:services]
programs = {services}
priority = 100
"""
_PROGRAM = """\
[program:{name}]
command = "%(here)s/bin/{name}"
priority = {priority}
autostart = false
autorestart = {restarts}
startretries = {retries}
stopsignal = {signal}
stopwaitsecs = {seconds}
killasgroup = true
redirect_stderr = true
stdout_logfile = %(here)s/log/{name}.log
stdout_logfile_maxbytes = 16MB
stdout_logfile_backups = 1
"""


def runs(profile: Profile) -> bool:
    """Whether the profile's own supervisor answers: nobody else has its password."""
    try:
        return bool(profile.secret and _proxy(profile).supervisor.getState())
    except xmlrpc.client.Fault:
        return True  # It is stopping everything, and says no more than that.
    except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError, ExpatError):
        return False


def states(profile: Profile) -> dict[str, dict[str, Any]]:
    """What the supervisor knows of each program (statename, pid, description, ...); nothing where none runs."""
    return {info["name"]: info for info in _call(profile, "getAllProcessInfo")} if runs(profile) else {}


def alive(profile: Profile, name: str) -> bool:
    return _state(profile, name) in ("STARTING", "RUNNING")


def ensure(profile: Profile) -> None:
    """Starts the supervisor, with nothing to run yet, if there is none."""
    if runs(profile):
        return
    program, log = tools.supervisor() / "supervisord", profile.log(_NAME)
    log.parent.mkdir(parents=True, exist_ok=True)
    _configure(profile)
    known = layout.settings()  # Each start of a service finds the settings of that moment in its script.
    inherited = {
        name: value
        for name, value in layout.inherited_environment().items()
        if name not in known and not name.startswith(("RABBITMQ_", "ERL_"))
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "-c", profile.home / "supervisord.conf"],
            cwd=profile.home,
            env=inherited,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # A Ctrl-C meant for us does not reach it.
            umask=0o077,
        )
    deadline = time.monotonic() + _ANSWERS_WITHIN_SECONDS
    while not runs(profile):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Problem(f"The supervisor did not start: see above, and {shown(log)}.", tail(log))
        time.sleep(0.05)
    process.returncode = 0  # It outlives us on purpose: no warning when the object goes.


def launch(
    profile: Profile,
    name: str,
    command: Sequence[str | Path],
    env: Mapping[str, str],
    cwd: Path,
    holding: Path | None = None,
) -> None:
    """Starts a program without waiting for it, and the supervisor if there is none yet. It finds the folder `holding`
    open, as file 3."""
    ensure(profile)
    words = [str(word) for word in command]
    if shutil.which("setpriv"):  # What the supervisor starts does not outlive it, even if it is killed.
        words = ["setpriv", f"--pdeathsig={_stop(name)[0]}", *(words[1:] if words[0] == "setpriv" else words)]
    exports = "".join(f"export {variable}={shlex.quote(value)}\n" for variable, value in env.items())
    script = f"#!/bin/sh\n# Written by make at each start.\n{exports}cd {shlex.quote(str(cwd))} || exit 1\n"
    script += f"exec 3<{shlex.quote(str(holding))} || exit 1\n" if holding else ""
    write_private(profile.home / "bin" / name, f"{script}exec {shlex.join(words)}\n", mode=0o700)
    _call(profile, "startProcess", _full(name), False)


def must_run(profile: Profile, name: str, log_before: int, *, first_pid: int = 0) -> int:
    """The program's process number. Raises Problem with the newest lines of its log, and gives up on the program, if it
    has ended since its start, or runs under another number than before."""
    info = states(profile).get(name, {})
    pid = int(info.get("pid", 0))
    if not pid or pid != (first_pid or pid):
        stop(profile, name)
        log = profile.log(name)
        sentence = f"{name} ended at its start: its last lines stand above, all of them in {shown(log)}."
        raise Problem(sentence, tail(log, since=log_before))
    return pid


def stop(profile: Profile, name: str) -> None:
    """Stops a program gently, if it runs or is to be started again, and returns once it has ended."""
    if not runs(profile):
        return
    before = size(profile.log(_LOG))
    _call(profile, "stopProcess", _full(name))
    _tell_of_killed(profile, before)


def kill(profile: Profile, name: str) -> None:
    """Ends a program as a crash would, with no chance to finish anything, and leaves it so."""
    if pid := states(profile).get(name, {}).get("pid"):
        os.killpg(pid, signal.SIGSTOP)  # It must not act on the stop signal, by which the supervisor gives up on it.
        _call(profile, "stopProcess", _full(name), False)
        os.killpg(pid, signal.SIGKILL)
        while _state(profile, name) == "STOPPING":
            time.sleep(0.05)


def shutdown(profile: Profile) -> None:
    """Stops all that runs, the services first, then the servers."""
    earlier.stop(profile)
    if not runs(profile):
        return
    before = size(profile.log(_LOG))
    _call(profile, "shutdown")
    deadline = time.monotonic() + _STOPPED_WITHIN_SECONDS
    while runs(profile):
        if time.monotonic() > deadline:
            raise Problem(f"The supervisor has not stopped everything: see {shown(profile.log(_LOG))}.")
        time.sleep(0.05)
    profile.secret = ""
    profile.save()
    _tell_of_killed(profile, before)


def _configure(profile: Profile) -> None:
    """Only `make up` wants a program back that died: tests, chaos and benchmarks kill some on purpose."""
    (profile.ports[_NAME],) = ports.choose(1, avoiding=profile.ports.values())
    profile.secret = secrets.token_hex(16)
    profile.save()
    restarts, retries = ("true", 1_000_000) if profile.personal else ("false", 3)
    access = {"user": os.geteuid(), "port": profile.ports[_NAME], "secret": profile.secret}
    programs = [*_SECURE_ONLY, *replicas.instances(), replicas.EDGE, replicas.CONSOLE, *replicas.OBSERVERS]
    text = _CONFIGURATION.format(**access, services=",".join(programs))
    for priority, name in enumerate((*_SERVERS, *programs)):
        number, seconds = _stop(name)
        text += _PROGRAM.format(
            name=name, priority=priority, restarts=restarts, retries=retries, signal=number, seconds=seconds
        )
    write_private(profile.home / "supervisord.conf", text)


def _call(profile: Profile, method: str, *arguments: Any) -> Any:
    """Raises Problem if the supervisor refuses."""
    try:
        return getattr(_proxy(profile).supervisor, method)(*arguments)
    except xmlrpc.client.Fault as fault:
        if fault.faultString.startswith(("ALREADY_STARTED", "NOT_RUNNING")):
            return None
        words = " ".join(map(str, (method, *arguments)))
        sentence = f"The supervisor of '{profile.name}' refuses {words}: if a branch was changed, `make down` first."
        raise Problem(sentence, fault.faultString) from None


def _proxy(profile: Profile) -> xmlrpc.client.ServerProxy:
    return xmlrpc.client.ServerProxy(f"http://make:{profile.secret}@127.0.0.1:{profile.ports[_NAME]}/RPC2")


def _full(name: str) -> str:
    """As the supervisor calls it: the services are a group, which ends as one."""
    return name if name in _SERVERS else f"services:{name}"


def _stop(name: str) -> tuple[str, int]:
    return _LIGHT if name in (replicas.EDGE, replicas.CONSOLE, *replicas.OBSERVERS) else _SERVERS.get(name, _SERVICE)


def _state(profile: Profile, name: str) -> str:
    return str(states(profile).get(name, {}).get("statename", ""))


def _tell_of_killed(profile: Profile, since: int) -> None:
    for line in tail(profile.log(_LOG), 100, since).splitlines():
        if "with SIGKILL" in line:
            name = line.split("'")[1]
            say(f"{name} did not end in time and was killed: see {shown(profile.log(name))}")
