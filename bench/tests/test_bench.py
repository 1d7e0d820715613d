"""A tiny run of the whole, and what the figures rest on. No figure of time is asserted: a machine may be slow."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import pytest

import contestants
import generator
import meter
import picture
import report
from generator import Basket, GaveUp, Generator
from operations.addresses import SERVICES
from system import Ended

ROOT = Path(__file__).resolve().parents[2]
COSTS = (*SERVICES, "PostgreSQL", "RabbitMQ")


def bench(*arguments: str) -> str:
    """What a run prints."""
    profile = os.environ.get("ORDER_PROCESSING_PROFILE")
    if not profile:
        pytest.skip("it needs servers of its own: run `make test ONLY=bench` at the root")
    if json.loads((ROOT / ".run" / profile / "state.json").read_text())["mode"] != "native":
        pytest.skip("what runs in containers can't be measured from outside: install PostgreSQL and RabbitMQ")
    run = subprocess.run(
        [sys.executable, ROOT / "bench" / "bench.py", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], str]:
    """What a tiny run printed, its JSON, its picture."""
    folder = tmp_path_factory.mktemp("bench")
    wanted = ["--rounds", "1", "--orders", "250", "--clients", "8", "--items", "1-3", "--low-seconds", "1"]
    printed = bench(*wanted, "--json", str(folder / "bench.json"), "--picture", str(folder / "bench.svg"))
    return printed, json.loads((folder / "bench.json").read_text()), (folder / "bench.svg").read_text()


def test_a_run_ends_with_the_line_that_sums_it_up(results: tuple[str, dict[str, Any], str]) -> None:
    printed, _, _ = results

    last = printed.splitlines()[-1]
    assert re.fullmatch(r"system/baseline \d+\.\d x, \d+\.\d\d CPU-ms an order, p50 \d+\.\d ms", last)
    assert re.search(
        r"^\| completed, orders/s +\| +[\d,]+ \| +[\d,]+ \| +[\d,]+ \| +\d+\.\d+ \|$", printed, re.MULTILINE
    )


def test_every_order_is_accounted_for_in_what_is_measured(results: tuple[str, dict[str, Any], str]) -> None:
    _, found, _ = results

    ((baseline,), (system,)) = found["rounds"]["baseline"], found["rounds"]["system"]
    assert (baseline["orders"], system["orders"]) == (50, 250)
    assert baseline["disagreements"] == system["disagreements"] == 0
    # The baseline does everything one by one, which makes it a measure for the meter.
    assert baseline["transactions an order"] == pytest.approx(6, rel=0.1)
    assert baseline["published an order"] == pytest.approx(5, rel=0.02)
    assert baseline["delivered an order"] == pytest.approx(8, rel=0.02)
    assert system["transactions an order"] < 6
    assert system["published an order"] < 5
    for figures in (baseline, system):
        assert figures["cpu"] == pytest.approx(sum(figures.get(f"cpu {name}", 0) for name in COSTS))
        assert figures["low completed p50"] > figures["low post p50"] > 0


def test_the_picture_shows_all_three(results: tuple[str, dict[str, Any], str]) -> None:
    _, _, drawn = results

    texts = [element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314 (what we drew)
    assert {"floor", "baseline", "system", "PostgreSQL"} <= set(texts)


def test_a_growing_system_is_measured_stage_by_stage(tmp_path: Path) -> None:
    printed = bench("--grow", "40", "--clients", "4", "--json", str(tmp_path / "growth.json"))

    stages = json.loads((tmp_path / "growth.json").read_text())["stages"]
    assert [stage["in the tables"] for stage in stages] == list(range(2, 41, 2))
    assert all(stage["orders"] == 2 and stage["cpu"] > 0 for stage in stages)
    assert printed.splitlines()[-1] == "0 disagreements in the books"


def test_each_part_of_production_is_a_rung_of_its_own(tmp_path: Path) -> None:
    rungs = ["system", "tokens", "services", "customers"]
    wanted = ["--only", ",".join(rungs), "--rounds", "1", "--orders", "120", "--clients", "4", "--low-seconds", "1"]
    logs = ROOT / ".run" / os.environ.get("ORDER_PROCESSING_PROFILE", "") / "log"
    for log in logs.glob("*-1/order-service.log"):
        log.unlink()  # of an earlier run
    printed = bench(*wanted, "--json", str(tmp_path / "secure.json"), "--picture", str(tmp_path / "secure.svg"))

    rounds = {name: figures for name, [figures] in json.loads((tmp_path / "secure.json").read_text())["rounds"].items()}
    assert list(rounds) == rungs
    assert all((of["orders"], of["disagreements"], of["refused"]) == (120, 0, 0) for of in rounds.values())
    assert {name for name, of in rounds.items() if of.get("cpu edge")} == {"customers"}
    for figures in rounds.values():
        assert figures["cpu"] == pytest.approx(sum(figures.get(f"cpu {name}", 0) for name in (*COSTS, "edge")))
    # Staff have one token for all orders, customers one for each.
    verified = [(logs / f"{name}-1/order-service.log").read_text().count('"token verified"') for name in rungs[1:]]
    assert verified[:2] == [1, 1]
    assert verified[2] > 120
    assert re.search(r"^\| customers +(\| +[+-]?\d+\.\d+ ){12}\|$", printed, re.MULTILINE)
    assert re.search(r"^tokens/system \d+\.\d\d x, .*customers/system \d+\.\d\d x", printed.splitlines()[-1])


def test_a_page_that_is_looked_at_is_measured_beside_the_system(tmp_path: Path) -> None:
    wanted = ["--only", "system,page,traces", "--rounds", "1", "--orders", "120", "--clients", "4"]
    files = ["--json", str(tmp_path / "watched.json"), "--picture", str(tmp_path / "watched.svg")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_TRACES_SAMPLER_ARG", "1")  # of so few, one in a hundred might be none
        printed = bench(*wanted, "--low-seconds", "1", *files)

    found = json.loads((tmp_path / "watched.json").read_text())["rounds"]
    rounds = {name: figures for name, [figures] in found.items()}
    assert all((of["orders"], of["disagreements"], of["refused"]) == (120, 0, 0) for of in rounds.values())
    assert {name for name, of in rounds.items() if of.get("cpu console")} == {"page"}
    assert re.search(r"^page/system \d+\.\d\d x, traces/system", printed.splitlines()[-1])


def test_what_a_rung_costs_is_told_beside_the_rung_before() -> None:
    costs = {"system": (1000.0, 1.0, 0.4), "tokens": (980.0, 1.1, 0.5), "servers": (900.0, 1.3, 0.5)}
    rounds = {name: [{"completed/s": a, "cpu": b, "cpu order-service": c}] * 2 for name, (a, b, c) in costs.items()}

    first, second = ([cell.strip() for cell in line.split("|")] for line in report.prices(rounds).splitlines()[2:])
    assert first[1:8] == ["tokens", "0.98", "", "", "1.10", "+0.100", "+0.100"]
    assert second[1:8] == ["servers", "0.90", "", "", "1.30", "+0.200", "+0.000"]


def test_growing_takes_an_order_a_stage_at_least() -> None:
    program = [sys.executable, str(ROOT / "bench" / "bench.py"), "--grow", "19"]
    run = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)

    assert (run.returncode, run.stderr) == (1, "--grow takes 20 stages, with an order in each at least.\n")


def test_the_cost_of_processes_that_have_ended_is_their_parents() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {busy!r}])\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert meter.cpu_ms([process.pid]) >= 250
        process.communicate(b"\n")


async def test_at_a_given_rate_an_order_waits_from_when_it_should_have_been_sent() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(10):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.findall(rb"Content-Length: (\d+)", head)[0]))
            await asyncio.sleep(0.05)
            body = json.dumps({"id": str(uuid4())}).encode()
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        load = Generator([f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"], 1, Basket([uuid4()], uuid4()))
        placed = await load.open(10, rate=1000)
        load.close()

    assert len(placed.began) == 10
    assert placed.latencies_seconds[-1] > 9 * 0.05


def test_system_and_baseline_are_compared_round_by_round() -> None:
    rounds = {
        "baseline": [{"completed/s": 100.0}, {"completed/s": 50.0}, {"completed/s": 10.0}],
        "system": [{"completed/s": 1000.0}, {"completed/s": 550.0}, {"completed/s": 120.0}],
    }

    assert report.ratio(rounds, "completed/s") == 11
    assert report.last_line(rounds) == "system/baseline 11.0 x"


def test_a_single_contestant_has_table_and_picture_too() -> None:
    rounds = {"system": [{"completed/s": 1000.0, "cpu": 1.2, "others": 0.0, "cpu PostgreSQL": 1.2}]}

    assert re.search(r"^\| completed, orders/s +\|  1,000 \|$", report.table(rounds), re.MULTILINE)
    assert ElementTree.fromstring(picture.draw(rounds)) is not None  # noqa: S314 (what we drew)


async def _answer_orders_with(status: int) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(re.findall(rb"Content-Length: (\d+)", head)[0]))
            if status:
                writer.write(b"HTTP/1.1 %d What\r\nContent-Length: 4\r\n\r\nwhat" % status)

    async def answer_until_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            await answer(reader, writer)

    return await asyncio.start_server(answer_until_the_end, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("status", "patience", "said"),
    [
        (404, 600, "answered 404: b'what'"),
        (503, 0.3, r"in 0 s; .*503: \d"),
        (0, 0.3, r"in 0 s; refused, by status: {}"),
    ],
)
async def test_whoever_takes_no_orders_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch, status: int, patience: float, said: str
) -> None:
    """As the wrong service at the right port, a busy one without end, and one that doesn't answer at all."""
    monkeypatch.setattr(generator, "PATIENCE_SECONDS", patience)
    async with await _answer_orders_with(status) as server:
        load = Generator([f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"], 2, Basket([uuid4()], uuid4()))
        with pytest.raises(GaveUp, match=said):
            await asyncio.wait_for(load.closed(4), 60)
        load.close()


@pytest.mark.parametrize(
    ("code", "said"),
    [('raise SystemExit("it lacks a setting")', "floor has ended (.|\n)*it lacks a setting"), ("", "Attribute.*app")],
)
async def test_a_contestant_that_ends_at_its_start_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, said: str
) -> None:
    (tmp_path / "broken.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    app = contestants._app("floor", "broken:app", tmp_path)
    with pytest.raises(Ended, match=said):
        async with contestants.started([app]):
            pass


async def test_a_contestant_that_ends_later_ends_the_round(tmp_path: Path) -> None:
    async def wait(floor: contestants.Floor) -> None:
        (pid,) = floor.pids["order-service"]
        os.kill(pid, signal.SIGKILL)
        await asyncio.wait_for(asyncio.Event().wait(), 60)

    with pytest.raises(Ended, match="floor has ended"):
        async with contestants.floor(tmp_path) as floor:
            await wait(floor)


async def test_nobody_waits_for_ever_until_all_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "_QUIET_SECONDS", 0.05)
    monkeypatch.setattr(meter, "_QUIET_WITHIN_SECONDS", 0.2)
    monkeypatch.setattr(meter, "_QUIET_SHARE", -1)
    with pytest.raises(SystemExit, match="still busy"):
        await meter.quiet([os.getpid()])
