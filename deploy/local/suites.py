"""`make test`, `bench`, `chaos`, `mutate`: what runs on a PostgreSQL and a RabbitMQ that are started for it alone."""

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import install
import layout
import packages
import ports
import profiles
import secure
import servers
import system
from console import Problem, say
from profiles import SECURE
from replicas import ISSUER

_DRILL = "tests/test_restore.py"
_EVERYTHING = {
    "system tests": ("-m", "pytest", "tests", "--ignore", _DRILL, "--ignore", "tests/test_chaos.py"),
    "restore drill": ("-m", "pytest", _DRILL),
    "chaos": ("-m", "chaos"),  # the last: it leaves the servers as they are after all that
}
_WAYS = {"development": "test", "production": f"{SECURE}-test-all"}
"""The kind of servers for each."""
# Of what pytest says at its end, and of the table of chaos.
_FAILED = re.compile(r"(?:FAILED|ERROR) \S+::.*")
_FIGURE = re.compile(
    r"=* ?(\d+ (?:passed|failed|skipped)\b.* in [\d.]+s.*?|(?:orders accepted|lost|double|violations) +\S.*?) ?=*$"
)


@dataclass(frozen=True)
class _Part:
    """What ran, and what it said that somebody wants to see again at the end."""

    name: str
    code: int
    seconds: float
    said: Sequence[str]


def test(only: str, arguments: str) -> int:
    """`only` names one folder, `arguments` are pytest's; the exit status is 0 if all passed."""
    names = [name for name in layout.projects() if (layout.ROOT / name / "tests").is_dir()]
    if only:
        if only not in names:
            raise Problem(f"ONLY={only} is no folder with tests: choose one of {', '.join(names)}.")
        names = [only]
    if servers.mode() == "native":
        servers.provide()
    if "system-tests" in names:
        packages.provide_for_tests()
    # These two migrate or start the services, which must be there too.
    install.install([*names, *((*layout.SERVICES, "console") if {"operations", "system-tests"} & set(names) else ())])
    with private_servers("test") as addresses:
        return _summary([_run(name, name, ("-m", "pytest", *shlex.split(arguments)), addresses) for name in names])


def test_all(only: str) -> int:
    """The system tests, the restore drill and chaos, with the services run as in development, then as in production;
    `only` names one of the two."""
    if only not in ("", *_WAYS):
        raise Problem(f"ONLY={only} is neither of {' and '.join(_WAYS)}.")
    servers.provide()
    packages.provide("haproxy")
    packages.provide_for_tests()
    install.install(["system-tests", "operations", "console", *layout.SERVICES])
    parts: list[_Part] = []
    for way in [only] if only else _WAYS:
        with private_servers(_WAYS[way]) as addresses:
            parts += [
                _run(f"{part}, {way}", "system-tests", program, addresses) for part, program in _EVERYTHING.items()
            ]
    return _summary(parts)


def run(kind: str, project: str, others: Sequence[str], program: Sequence[str], arguments: str) -> int:
    """Runs a program of a project on servers of its own. `--help` among its arguments starts nothing."""
    words = shlex.split(arguments)
    command, folder = [str(install.python(project)), *program, *words], layout.ROOT / project
    if "--help" in words:
        install.install([project])
        return attended(command, folder, {})
    install.install([project, *others])
    with private_servers(kind) as addresses:
        return attended(command, folder, addresses | {"REQUIRE_SERVERS": "1"})


@contextmanager
def private_servers(kind: str) -> Iterator[dict[str, str]]:
    """A pair of servers on free ports, empty; stopped at the end, however it comes, and forgotten but for the logs."""
    profile, owner = profiles.private(kind)
    with owner:
        _clear(profile.name, keep_logs=False)  # what a run that was killed left behind
        profile = profiles.load(profile.name)
        try:
            with profiles.changing(profile.name):
                profile.mode = "native" if profile.secure else servers.mode()
                servers.up(profile, definitions=False)
                if profile.secure:
                    (profile.ports[ISSUER],) = ports.choose(1, avoiding=profile.ports.values())
                    profile.save()
                    secure.start_issuer(profile)
            servers.introduce(profile)
            found = secure.of_tests(profile) if profile.secure else servers.addresses(profile)
            yield found | {"ORDER_PROCESSING_PROFILE": profile.name}
        finally:
            interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
            _clear(profile.name, keep_logs=True)
            signal.signal(signal.SIGINT, interrupted)


def attended(
    command: Sequence[str], cwd: Path, environment: dict[str, str], note: Callable[[str], object] | None = None
) -> int:
    """Runs in the foreground; an interrupt reaches the child too, and it gets the time to clean up. Each line that it
    says is noted too, if somebody wants that."""
    output = subprocess.PIPE if note else None
    child = subprocess.Popen(
        command, cwd=cwd, env=layout.inherited_environment() | environment, stdout=output, text=True
    )
    try:
        for line in child.stdout or ():
            say(line.rstrip())
            if note:
                note(line)
        return child.wait()
    except BaseException as reason:
        if not isinstance(reason, KeyboardInterrupt):  # else the terminal has told the child already
            child.send_signal(signal.SIGINT)
        try:
            child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise


def _clear(name: str, *, keep_logs: bool) -> None:
    """Stops and forgets all but the logs. Reads the profile anew: the tests may have restarted what belongs to it."""
    with profiles.changing(name):
        profile = profiles.load(name)
        system.down(profile)
        profile.discard(keep_logs=keep_logs)


def _run(name: str, project: str, program: Sequence[str], addresses: Mapping[str, str]) -> _Part:
    say(f"\n=== {name} ".ljust(100, "="))
    began, said = time.monotonic(), list[str]()
    environment = dict(addresses) | {"REQUIRE_SERVERS": "1", "PYTHONUNBUFFERED": "1"}
    command = [str(install.python(project)), *program]
    code = attended(command, layout.ROOT / project, environment, said.append)
    return _Part(name, code, time.monotonic() - began, said)


def _summary(parts: Sequence[_Part]) -> int:
    """The table at the end; under it each test that failed, since thousands of lines stand between the two."""
    say("\n=== summary ".ljust(100, "="))
    for part in parts:
        figures = ", ".join(" ".join(found[1].split()) for found in map(_FIGURE.match, part.said) if found)
        outcome = "passed" if part.code == 0 else "FAILED"
        say(f"{part.name:<27} {outcome}  {part.seconds:6.1f} s  {figures}".rstrip())
    failed, total = [part for part in parts if part.code != 0], sum(part.seconds for part in parts)
    for part in failed:
        for line in filter(_FAILED.match, part.said):
            say(f"{part.name}: {line.rstrip()}")
    say(
        f"FAILED: {', '.join(part.name for part in failed)} ({total:.0f} s)"
        if failed
        else f"All tests passed in {total:.0f} s."
    )
    return 1 if failed else 0
