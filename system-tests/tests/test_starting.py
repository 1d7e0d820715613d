"""deploy/local: what `make up`, `make down` and their like do, and say."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from attacks.edge import haproxy
from local import LOCAL, run_local
from operations.addresses import ROLES, SERVICES
from system import ROOT

NAME = "order-service"
PRETENDED = """
import http.server, json, os, signal, sys, threading, time
name, port, does = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def end(*_):
    time.sleep(0.5 if does == "is slow to end" else 0)
    print("ended", time.time(), flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
print("the last line of", name, flush=True)
if does == "dies":
    sys.exit(1)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"service": "somebody" if does == "is another" else name}).encode())
        if does == "dies late":
            threading.Timer(0.5, os._exit, [3]).start()
    def log_message(self, *_):
        pass
if does == "is late":
    time.sleep(2)
server = http.server.HTTPServer(("127.0.0.1", port), Answer)
server.serve_forever()
"""
# What stands before a piece of code that starts pretended programs as make starts services and servers.
PROFILE = """
import json, os, signal, time
from pathlib import Path
import edge, layout, ports, profiles, replicas, supervisor, system, tools
installed = tools.supervisor()
tools.supervisor = lambda: installed
layout.RUN = Path({run!r})
profile = profiles.Profile({profile!r}, "native")
def launch(name, does="answers"):
    profile.ports.setdefault(name, *ports.choose(1))
    command = [sys.executable, {program!r}, replicas.service_of(name), str(profile.ports[name]), does]
    supervisor.launch(profile, name, command, {{}}, layout.RUN)
def pid(name):
    return supervisor.states(profile)[name]["pid"]
def eventually(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
"""


def run_pretended(folder: Path, code: str, profile: str = "pretended") -> str:
    (folder / "pretended.py").write_text(PRETENDED)
    setting = PROFILE.format(run=str(folder), profile=profile, program=str(folder / "pretended.py"))
    lines = "".join(f"    {line}\n" for line in code.strip().splitlines())
    return run_local(f"{setting}try:\n{lines}finally:\n    supervisor.shutdown(profile)\n")


@pytest.fixture
def occupied() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_make_draws_no_port_twice_and_none_that_a_variable_names(occupied: int) -> None:
    code = f"""
import os, random, ports
os.environ["ORDER_SERVICE_PORT"] = "20001"
draws = iter([{occupied}, 20001, 20002, 20003, 20002, 20003, 20004, 20005])
random.randrange = lambda *_: next(draws)
free, ports.is_free = ports.is_free, lambda port: port != {occupied} or free(port)
print(ports.choose(2), ports.choose(1, avoiding=[20004]))
"""
    assert run_local(code) == "[20002, 20003] [20005]\n"


def test_make_gives_up_where_no_port_is_free(occupied: int) -> None:
    code = f"""
import random, ports
random.randrange = lambda *_: {occupied}
try:
    ports.choose(1)
except ports.Problem as problem:
    print(problem)
"""
    assert "No 1 free ports" in run_local(code)


@pytest.mark.parametrize("profile", ["system", "pretended"])
@pytest.mark.parametrize(
    ("pretended", "said"),
    [
        ({NAME: "answers", "payment-service": "dies"}, "payment-service ended at its start"),
        ({NAME: "answers", "payment-service": "is another"}, "payment-service is not healthy after"),
        ({NAME: "dies late", "payment-service": "is late"}, "order-service ended at its start"),
        ({NAME: "answers", "payment-service": "is late"}, "all well"),
    ],
)
def test_make_up_waits_for_the_services_that_it_means_and_hears_of_their_end(
    tmp_path: Path, pretended: dict[str, str], said: str, profile: str
) -> None:
    """`dies late` means: once it was healthy, while others are still waited for."""
    code = f"""
system._HEALTHY_WITHIN_SECONDS = 5
for name, does in {pretended!r}.items():
    launch(name, does)
try:
    system.wait(profile, {list(pretended)!r})
    print("all well")
except system.Problem as problem:
    print(problem, problem.detail)
"""
    printed = run_pretended(tmp_path, code, profile)
    assert said in printed
    if said != "all well":
        assert f"the last line of {said.split()[0]}" in printed


def test_a_service_that_dies_under_make_up_comes_back(tmp_path: Path) -> None:
    code = f"""
launch({NAME!r})
system.wait(profile, [{NAME!r}])
eventually(lambda: supervisor.states(profile)[{NAME!r}]["statename"] == "RUNNING")
before = pid({NAME!r})
os.kill(before, signal.SIGKILL)
eventually(lambda: pid({NAME!r}) not in (0, before))
system.wait(profile, [{NAME!r}])
print("is back")
"""
    assert run_pretended(tmp_path, code, "system") == "is back\n"


@pytest.mark.parametrize("profile", ["system", "pretended"])
def test_what_make_kills_or_a_test_run_loses_stays_away(tmp_path: Path, profile: str) -> None:
    code = f"""
launch({NAME!r})
system.wait(profile, [{NAME!r}])
eventually(lambda: supervisor.states(profile)[{NAME!r}]["statename"] == "RUNNING")
if profile.name == "system":
    supervisor.kill(profile, {NAME!r})
else:
    os.kill(pid({NAME!r}), signal.SIGKILL)
eventually(lambda: supervisor.states(profile)[{NAME!r}]["statename"] in ("EXITED", "STOPPED"))
assert "ended" not in profile.log({NAME!r}).read_text()
launch({NAME!r})
system.wait(profile, [{NAME!r}])
print("started again")
"""
    assert run_pretended(tmp_path, code, profile) == "started again\n"


def test_services_end_before_their_servers(tmp_path: Path) -> None:
    code = f"""
for name in ("postgres", "rabbitmq"):
    launch(name)
launch({NAME!r}, "is slow to end")
system.wait(profile, ["postgres", "rabbitmq", {NAME!r}])
supervisor.shutdown(profile)
ends = {{name: profile.log(name).read_text().split()[-1] for name in ("postgres", "rabbitmq", {NAME!r})}}
print(*sorted(ends, key=lambda name: float(ends[name])))
"""
    assert run_pretended(tmp_path, code).split() == [NAME, "rabbitmq", "postgres"]


def test_a_service_that_does_not_end_in_time_is_killed_and_that_is_told(tmp_path: Path) -> None:
    code = f"""
supervisor._SERVICE = ("USR1", 1)
launch({NAME!r})
system.wait(profile, [{NAME!r}])
os.kill(pid({NAME!r}), signal.SIGSTOP)
supervisor.stop(profile, {NAME!r})
print(pid({NAME!r}))
"""
    killed, left = run_pretended(tmp_path, code).splitlines()
    assert killed.startswith("order-service did not end in time and was killed: see ")
    assert left == "0"


def test_make_down_stops_what_another_branch_has_started(tmp_path: Path) -> None:
    """Its services have other names, its state other entries, and its scripts are gone."""
    code = f"""
layout.SERVICES = ("shop-service", {NAME!r})
launch("shop-service")
system.wait(profile, ["shop-service"])
number = pid("shop-service")
layout.SERVICES = ({NAME!r},)
state = json.loads((profile.home / "state.json").read_text()) | {{"colour": "green"}}
(profile.home / "state.json").write_text(json.dumps(state))
system.down(profiles.load(profile.name))
try:
    os.kill(number, 0)
except ProcessLookupError:
    print("is gone")
"""
    assert run_pretended(tmp_path, code) == "is gone\n"


def test_make_down_stops_what_was_started_before_there_was_a_supervisor(tmp_path: Path) -> None:
    code = """
import subprocess
with subprocess.Popen(["sleep", "300"]) as ours, subprocess.Popen(["sleep", "300"]) as another:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    began = Path(f"/proc/{ours.pid}/stat").read_text().split()[21]
    noted = {"postgres": [ours.pid, f"{boot}:{began}"], "rabbitmq": [another.pid, f"{boot}:1"]}
    profile.home.mkdir()
    (profile.home / "state.json").write_text(json.dumps({"mode": "native", "ports": {}, "processes": noted}))
    system.down(profiles.load(profile.name))
    print(ours.wait(), another.poll())
    another.kill()
"""
    assert run_pretended(tmp_path, code) == "-2 None\n"


@pytest.mark.skipif(sys.platform != "linux", reason="setpriv is Linux's")
def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = f"""
launch({NAME!r})
system.wait(profile, [{NAME!r}])
os.kill(int((profile.home / "supervisord.pid").read_text()), signal.SIGKILL)
eventually(lambda: ports.is_free(profile.ports[{NAME!r}]))
launch({NAME!r})
system.wait(profile, [{NAME!r}])
print("is up again")
"""
    assert run_pretended(tmp_path, code) == "is up again\n"


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can become somebody else")
def test_a_superuser_of_root_s_postgresql_reads_nothing_of_root_s(tmp_path: Path) -> None:
    """In a folder that only root can enter, and with data that an earlier version has left to root."""
    tmp_path.chmod(0o700)
    code = """
import asyncio, asyncpg, postgresql, servers
servers.provide()
profile.ports["postgres"], = ports.choose(1)
async def refusals():
    connection = await asyncpg.connect(postgresql.url(profile).replace("+asyncpg", ""))
    await connection.execute("CREATE TEMP TABLE stolen (line text)")
    for theft in ("SELECT pg_read_file('/etc/shadow')", "COPY stolen FROM PROGRAM 'cat /etc/shadow'"):
        try:
            await connection.execute(theft)
        except asyncpg.PostgresError as error:
            print(error.sqlstate)
    rights = 'grep -E "^(CapPrm|CapAmb|NoNewPrivs)" /proc/self/status'
    await connection.execute(f"COPY stolen FROM PROGRAM '{rights}' DELIMITER '|'")
    print(*sorted({line.split()[1] for line, in await connection.fetch("TABLE stolen")}))
    await connection.close()
postgresql.start(profile)
asyncio.run(refusals())
supervisor.stop(profile, "postgres")
for path in [profile.home / "postgres", *(profile.home / "postgres").rglob("*")]:
    os.chown(path, 0, 0, follow_symlinks=False)
postgresql.start(profile)
asyncio.run(refusals())
"""
    assert run_pretended(tmp_path, code).splitlines()[-6:] == ["42501", "38000", "0000000000000000 1"] * 2


def test_nobody_guesses_what_lets_programs_into_the_broker_s_node(tmp_path: Path) -> None:
    code = """
import rabbitmq
rabbitmq.server = lambda: Path("rabbitmq-server")
rabbitmq.call = supervisor.launch = lambda *_: None
profile.ports |= {"rabbitmq": 1, "rabbitmq-management": 2}
cookie = profile.home / "rabbitmq" / ".erlang.cookie"
for _ in range(2):
    rabbitmq.start(profile)
    print(cookie.read_text(), oct(cookie.stat().st_mode)[-3:])
"""
    (first, mode), (second, same) = (line.split() for line in run_pretended(tmp_path, code).splitlines())
    assert mode == same == "400"
    assert len(first) == len(second) == 64
    assert first != second


def test_only_its_owner_may_look_into_the_folder_of_what_runs(tmp_path: Path) -> None:
    """Also where an earlier version has made it."""
    code = f"""
import cli
layout.RUN.chmod(0o755)
sys.argv = ["run.py", "status", "--profile", "pretended"]
launch({NAME!r})
system.wait(profile, [{NAME!r}])
cli.main()
print(*(oct(path.stat().st_mode)[-2:] for path in (layout.RUN, profile.log({NAME!r}))))
"""
    *_, modes = run_pretended(tmp_path, code).splitlines()
    assert modes == "00 00"


def test_who_forgets_secure_means_the_secure_system_if_that_is_what_runs(tmp_path: Path) -> None:
    code = f"""
import cli
os.environ.pop("SECURE", None)
print(cli._profile("down"))
launch({NAME!r})
print(cli._profile("down"), cli._profile("status"), cli._profile("up"), cli._profile("reset"))
for word in ("0", "1", "another"):
    os.environ["SECURE"] = word
    print(cli._profile("down"))
"""
    before, meanwhile, *chosen = run_pretended(tmp_path, code, "secure").splitlines()
    assert before == "system"
    assert meanwhile == "secure secure system system"
    assert chosen == ["system", "secure", "secure-another"]


def test_in_development_a_token_is_printed_and_said_to_be_of_no_use(tmp_path: Path) -> None:
    said = make("token", "ROLE=staff", ISSUER_KEYS=str(tmp_path), SECURE="0")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", said.stdout)
    assert "nobody asks for a token" in said.stderr
    refused = make("token", ISSUER_KEYS=str(tmp_path), SECURE="0")
    assert (refused.stdout, "Whose?" in refused.stderr) == ("", True)


def test_what_is_set_while_the_system_is_up_is_said_to_wait_for_the_next_start(tmp_path: Path) -> None:
    code = """
layout.ROOT = layout.RUN
layout.settings = lambda: {"PAYMENT_SUCCESS_RATE", "CURRENCY"}
os.environ["CURRENCY"] = "EUR"
profile.ports = {name: ports.named(name) for name in layout.PORTS if name != "prometheus"}
os.environ["PROMETHEUS_PORT"] = "19090"  # which doesn't run
profile.settings = system._settings(profile)
system._tell_what_changed(profile)
print("nothing yet")
os.environ |= {"PAYMENT_SUCCESS_RATE": "0", "ORDER_SERVICE_PORT": "18001"}
system._tell_what_changed(profile)
"""
    first, *told = run_pretended(tmp_path, code, "system").splitlines()
    assert first == "nothing yet"
    assert "ORDER_SERVICE_PORT, PAYMENT_SUCCESS_RATE will take effect at the next start" in told[0]
    assert "make down" in told[1]


def test_a_service_has_as_many_processes_as_its_variable_says(tmp_path: Path) -> None:
    code = """
layout.ROOT = layout.RUN
os.environ |= {"ORDER_SERVICE_REPLICAS": "3", "PAYMENT_SERVICE_REPLICAS": ""}
profile.settings = system._settings(profile)
profile.ports = dict.fromkeys((*replicas.instances(), "postgres", "edge", "edge-metrics", "console"), 1)
print(replicas.of_services(profile) == replicas.instances(), *replicas.processes(profile))
system._tell_what_changed(profile)
os.environ |= {"ORDER_SERVICE_REPLICAS": "1"}
system._tell_what_changed(profile)
os.environ |= {"ORDER_SERVICE_REPLICAS": "17"}
try:
    replicas.instances()
except replicas.Problem as problem:
    print(problem)
"""
    names, told, _, refused = run_pretended(tmp_path, code).splitlines()
    assert names.split() == ["True", NAME, f"{NAME}-2", f"{NAME}-3", *SERVICES[1:], "edge", "console"]
    assert "ORDER_SERVICE_REPLICAS will take effect at the next start" in told
    assert refused == "ORDER_SERVICE_REPLICAS is '17': set it to a number from 1 to 16."


def test_make_starts_the_edge_before_all_replicas(tmp_path: Path) -> None:
    haproxy()
    code = """
os.environ |= {"ORDER_SERVICE_REPLICAS": "2", "EDGE_CONNECTIONS": "50"}
names = replicas.instances()
for name in names:
    launch(name)
edge.choose_ports(profile)
system.start_one(profile, "edge")
edge.wait(profile)
trust = str(profile.home / "tls" / "ca.crt")
context = edge.ssl.create_default_context(cafile=trust)
opener = edge.urllib.request.build_opener(edge.urllib.request.HTTPSHandler(context=context))
print(opener.open(f"https://localhost:{profile.ports['edge']}/orders").read().decode())
metrics = f"http://127.0.0.1:{profile.ports['edge-metrics']}/metrics"
text = edge.urllib.request.urlopen(metrics).read().decode()
print(*(name for name in names if f'server="{name}",state="UP"}} 1' in text))
print('haproxy_frontend_limit_sessions{proxy="https"} 50' in text)
supervisor.shutdown(profile)
print(ports.is_free(profile.ports["edge"]))
"""
    answer, up, limit, free = run_pretended(tmp_path, code).splitlines()
    assert json.loads(answer) == {"service": NAME}
    assert up.split() == [NAME, f"{NAME}-2", *SERVICES[1:]]
    assert (limit, free) == ("True", "True")


def test_make_starts_the_page_which_knows_all_replicas_and_comes_back(tmp_path: Path) -> None:
    """On servers that aren't there: it waits for nobody. Only `make up` starts it."""
    code = """
import health, page
profile.ports |= {"postgres": 1, "rabbitmq": 1}
os.environ |= {"ORDER_SERVICE_REPLICAS": "2"}
for name in replicas.instances():
    launch(name)
(port,) = ports.choose(1)
os.environ["CONSOLE_PORT"] = str(port)
page.choose_ports(profile)
system.start_one(profile, "console")
eventually(lambda: health.is_well("console", *health.ask(port)))
script = (profile.home / "bin" / "console").read_text()
print(all(f"http://127.0.0.1:{profile.ports[name]}" in script for name in replicas.instances()))
eventually(lambda: supervisor.states(profile)["console"]["statename"] == "RUNNING")
before = pid("console")
os.kill(before, signal.SIGKILL)
eventually(lambda: pid("console") not in (0, before))
print(page.wanted(profile), page.wanted(profiles.Profile("secure")), page.wanted(profiles.Profile("test")))
"""
    assert run_pretended(tmp_path, code, "system").splitlines() == ["True", "True True False"]


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS", "COMMAND_LINE")}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=own | environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_misspelt_variable_is_refused() -> None:
    said = make("status", "PAYMENT_SUCCES_RATE=0")
    assert said.returncode != 0
    assert "no variable PAYMENT_SUCCES_RATE: did you mean PAYMENT_SUCCESS_RATE?" in said.stderr
    assert make("status", "PAYMENT_SUCCESS_RATE=0", "YES=1").returncode == 0
    assert make("status", PAYMENT_SUCCES_RATE="0").returncode == 0  # the environment is not ours alone


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_python_that_is_named_is_used_or_refused_with_a_sentence(tmp_path: Path) -> None:
    shim = script(tmp_path / "shim", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    for python in (shim, tmp_path / "nowhere"):
        said = make("status", f"PYTHON={python}")
        assert said.returncode != 0
        assert said.stderr.startswith(f"error: PYTHON={python} does not run")


def test_a_python_that_is_too_old_is_not_run_past() -> None:
    code = """
sys.version_info = (3, 9, 18)
import run
print(run.main())
"""
    program = f"import sys\nsys.path.insert(0, {str(LOCAL)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "1\n"
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "is 3.9" in done.stderr


def test_make_passes_over_what_only_looks_like_a_python(tmp_path: Path) -> None:
    """Where the distribution has no Python that will do, the next one of the PATH is taken."""
    makefile = (ROOT / "Makefile").read_text().replace("/usr/bin/python3", str(tmp_path / "python3"))
    (tmp_path / "Makefile").write_text(f"{makefile}\nfound:\n\t@echo $(PYTHON)\n")
    script(tmp_path / "python3", "exit 127")
    script(tmp_path / "python3.12", f'exec {sys.executable} "$@"')

    def found() -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{tmp_path}:/bin", "HOME": str(tmp_path)}
        command = ["/usr/bin/make", "-f", str(tmp_path / "Makefile"), "found"]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    for name in ("python3.15", "python3.14", "python3.13", "python3.11"):
        script(tmp_path / name, "exit 127")
    assert found().stdout == "python3.12\n"
    script(tmp_path / "python3.12", "exit 127")
    assert "Python 3.11 or newer is needed, and there is none here" in found().stderr


@pytest.mark.parametrize(
    ("terminal", "environment", "answer", "goes_on"),
    [
        (True, {}, "y\n", True),
        (True, {}, "\n", False),
        (True, {"YES": "1"}, "", True),
        (False, {}, "", True),
    ],
)
def test_what_can_not_be_undone_asks_first_on_a_terminal(
    terminal: bool, environment: dict[str, str], answer: str, goes_on: bool
) -> None:
    code = f"""
import console
sys.stdin.isatty = lambda: {terminal}
try:
    console.confirm("All will be gone.")
    print("goes on")
except console.Problem:
    print("stops")
"""
    assert run_local(code, answer=answer, **environment).endswith("goes on\n" if goes_on else "stops\n")


def test_make_bench_and_chaos_explain_themselves_without_servers() -> None:
    code = """
import install, servers, suites
install.install = servers.provide = lambda *_: None
def start(_): raise AssertionError("servers were started")
suites.private_servers = start
suites.attended = lambda command, cwd, environment: print(command[-1])
import cli
for command in ("bench", "chaos", "mutate"):
    sys.argv = ["run.py", command, "--arguments=--help"]
    cli.main()
"""
    assert run_local(code).split() == ["--help"] * 3


def test_the_services_here_are_those_of_the_tests() -> None:
    here = json.loads(run_local("import json, layout; print(json.dumps([layout.SERVICES, layout.DATABASE_ROLES]))"))
    assert here == [list(SERVICES), ROLES]
