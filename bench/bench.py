"""`make bench`: floor, baseline and system in turns on this machine, as a table, a picture and JSON. See README.md.

make bench ARGS="--orders 5000 --items 1-5 --failures 0.2 --no-stock 0.05 --cancels 0.05"
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import asyncpg  # type: ignore[import-untyped]  # it ships none
import uvloop
from chassis.testing import eventually

sys.path.append(str(Path(__file__).resolve().parents[1] / "system-tests"))  # whose tools are used as they are

import contestants
import growth
import ladder
import meter
import picture
import report
import watched
from generator import GaveUp
from rounds import Figures, Options, Servers, floor_round, saga_round
from system import Ended

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
_RESTART_SECONDS = 180
R = TypeVar("R")
NAMES = ("floor", "baseline", "system")
SECURE = ("system", *ladder.RUNGS)
WATCHED = ("system", *watched.WATCHED)
_ALL = dict.fromkeys((*NAMES, *SECURE, *WATCHED))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secure", action="store_true", help="what each part of production costs, instead")
    parser.add_argument("--watched", action="store_true", help="what the page and traces cost, instead")
    parser.add_argument("--only", type=_names, default=(), help=f"some of {', '.join(_ALL)}")
    parser.add_argument("--orders", type=int, default=10_000, help="the system's; the baseline gets a fifth of it")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0, help="orders a second, answered or not; 0: as fast as it goes")
    parser.add_argument("--low-seconds", type=float, default=12, help="how long 20 orders/s are placed for the latency")
    parser.add_argument("--items", type=_range, default="1", help="lines of an order, or a range: 1-5")
    parser.add_argument("--products", type=int, default=50, help="how many there are to choose from")
    parser.add_argument("--failures", type=_share, default=0, help="the share of charges that end in an error")
    parser.add_argument("--no-stock", type=_share, default=0, help="the share of orders for what there is nothing of")
    parser.add_argument("--cancels", type=_share, default=0, help="the share of orders that is cancelled at once")
    parser.add_argument("--replicas", type=int, default=1, help="processes of each service")
    parser.add_argument(
        "--grow", type=int, default=0, help="the system alone, until there are so many orders (1000000)"
    )
    parser.add_argument("--json", type=Path, default=RESULTS / "bench.json")
    parser.add_argument("--picture", type=Path, default=RESULTS / "bench.svg")
    return parser


def _names(text: str) -> tuple[str, ...]:
    wanted = text.split(",")
    if unknown := set(wanted) - _ALL.keys():
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
    return tuple(name for name in _ALL if name in wanted)


def _range(text: str) -> tuple[int, int]:
    fewest, _, most = text.partition("-")
    found = int(fewest), int(most or fewest)
    if not 1 <= found[0] <= found[1] <= 100:
        raise ValueError(text)
    return found


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError(text)
    return share


async def measure(options: Options, rounds: int, names: tuple[str, ...], profile: str) -> tuple[report.Rounds, bool]:
    """All rounds, and whether all books agreed that had to: the baseline's need not where orders are cancelled or fail,
    since nothing keeps it from mixing up what happens to an order at the same time."""
    found: dict[str, list[Figures]] = {name: [] for name in names}
    well = True
    async with AsyncExitStack() as stack:
        secure = bool(ladder.RUNGS.keys() & set(names))
        builder = await stack.enter_async_context(ladder.builder(profile)) if secure else None
        servers = await stack.enter_async_context(_servers(profile))
        for number in range(1, rounds + 1):
            for name in names:
                logs = ROOT / ".run" / profile / "log" / f"{name}-{number}"
                logs.mkdir(parents=True, exist_ok=True)
                figures, wrong = await _round(name, options, servers, logs, builder)
                found[name].append(figures)
                print(f"round {number}, {name:<8} {figures['completed/s']:8,.0f} a second", flush=True)
                print("".join(f"    {sentence}\n" for sentence in wrong[:5]), end="")
                well = well and (not wrong or (name == "baseline" and options.mixed))
    return found, well


async def _round(
    name: str, options: Options, servers: Servers, logs: Path, builder: ladder.Builder | None
) -> tuple[Figures, list[str]]:
    success_rate = 1 - options.failures
    if name == "floor":
        async with contestants.floor(logs) as floor:
            return await floor_round(floor, options), []
    if name == "baseline":
        async with contestants.baseline(logs, options.replicas, success_rate) as baseline:
            return await saga_round(baseline, options.orders // 5, options, servers)
    if builder and name in ladder.RUNGS:
        async with builder.system(name, logs, options.replicas, success_rate) as production:
            return await saga_round(production, options.orders, options, servers)
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(watched.sink())
        to = sink.url if name == "traces" else ""
        started = contestants.system(logs, options.replicas, success_rate, keys=builder is not None, traces_to=to)
        contestant = await stack.enter_async_context(started)
        if name in ("console", "page"):
            seen = watched.watched(contestant, logs, looked_at=name == "page")
            contestant = await stack.enter_async_context(seen)
        found = await saga_round(contestant, options.orders, options, servers)
        if name == "traces":
            await eventually(lambda: sink.taken)  # or nothing was measured
        return found


@asynccontextmanager
async def _servers(profile: str) -> AsyncIterator[Servers]:
    """The two servers, PostgreSQL taught to note when a transaction was committed: it forgets that by default, and the
    times in the rows are those at which transactions began."""
    url = os.environ["DATABASE_URL"].replace("+asyncpg", "")
    database = await asyncpg.connect(url)
    if await database.fetchval("SHOW track_commit_timestamp") == "off":
        await database.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        await database.close()
        program = str(ROOT / "deploy" / "local" / "run.py")
        restart = await asyncio.create_subprocess_exec(
            sys.executable, program, "restart", "postgres", "--profile", profile
        )
        assert await asyncio.wait_for(restart.wait(), _RESTART_SECONDS) == 0
        database = await asyncpg.connect(url)
    try:
        management_url = os.environ["RABBITMQ_MANAGEMENT_URL"]
        yield Servers(management_url, await meter.server_pids(database, management_url))
    finally:
        await database.close()


async def _grow(options: Options, orders: int, profile: str) -> tuple[list[Figures], list[str]]:
    logs = ROOT / ".run" / profile / "log" / "growth"
    logs.mkdir(parents=True, exist_ok=True)
    async with _servers(profile) as servers:
        return await growth.grow(options, orders, servers, logs)


def _run(measuring: Coroutine[None, None, R]) -> R:
    try:
        return uvloop.run(measuring)
    except (Ended, GaveUp) as error:
        raise SystemExit(str(error)) from None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _machine() -> dict[str, object]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "processor": models[0].partition(": ")[2] if models else platform.machine(),
        "python": f"{platform.python_version()} ({Path(sys.executable).resolve()})",
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def main() -> int:
    arguments = vars(_parser().parse_args())
    rounds, names, orders = arguments.pop("rounds"), arguments.pop("only"), arguments.pop("grow")
    results, drawing = arguments.pop("json"), arguments.pop("picture")
    secure, seen = arguments.pop("secure"), arguments.pop("watched")
    names = names or (SECURE if secure else WATCHED if seen else NAMES)
    options = Options(**arguments)
    if options.items[1] > options.products:
        raise SystemExit("An order has each product once: there must be as many --products as --items.")
    if 0 < orders < growth.STAGES:
        raise SystemExit(f"--grow takes {growth.STAGES} stages, with an order in each at least.")
    profile = os.environ.get("ORDER_PROCESSING_PROFILE")
    if not profile:
        raise SystemExit("It needs servers of its own: `make bench` starts them.")
    machine = _machine()
    if orders:
        stages, wrong = _run(_grow(options, orders, profile))
        _write(results, json.dumps({"machine": machine, "options": asdict(options), "stages": stages}, indent=2))
        print("".join(f"    {sentence}\n" for sentence in wrong[:5]), end="")
        print(f"\n{results.resolve()}\n{len(wrong)} disagreements in the books")
        return 1 if wrong else 0
    found, well = _run(measure(options, rounds, names, profile))
    _write(results, json.dumps({"machine": machine, "options": asdict(options), "rounds": found}, indent=2))
    _write(drawing, picture.draw(found))
    print(f"\n{machine['cores']} cores of {machine['processor']}, Python {machine['python']}; medians (and spread)\n")
    print(report.table(found))
    if ladder.RUNGS.keys() & found.keys():
        print(f"\n{report.prices(found)}")
    if disturbed := report.disturbed(found):
        print(f"\nThe machine was not ours alone ({', '.join(disturbed)}): trust the ratios, not the figures.")
    print(f"\n{results.resolve()}\n{drawing.resolve()}\n")
    print(report.last_line(found))
    if not well:
        print("The books do not agree: see above.", file=sys.stderr)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
