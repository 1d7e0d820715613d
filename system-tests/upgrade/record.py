"""Records a shop in mid-flight: the system of this very checkout, stopped with orders in as many states as can be had.

    python -m upgrade.record            # recordings/<version of this project>; on the servers that the tests use

The services run with failpoints (see that package) in a database and a vhost of their own. What should wait in a
service's queue is taken out of it while that service is down, so that the service can go on with other orders: to the
version that reads the recording it is as if it had waited there.
"""

import argparse
import asyncio
import json
import tempfile
import tomllib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
from chassis.messaging.topology import Queue

from bus import Management, bus
from operations import backup
from operations.addresses import SERVICES
from operations.books import reading
from shop import Shop
from system import ROOT, fresh_system, management_url
from upgrade.recorder import Recorder
from upgrade.recording import RECORDINGS, Document, Waiting
from upgrade.scenes import play

_QUEUES = tuple(name for service in SERVICES for name in Queue(service, ()).queues)
_STATES = {
    "orders": {"pending", "confirmed", "completed", "failed", "cancelled"},
    "reservations": {"held", "sold", "released", "refused", "void"},
    "payments": {"processing", "completed", "failed", "cancelled", "refunding", "refunded", "void"},
}
"""Those that a recording must have. A payment is `pending` only while 200 calls of the gateway are under way."""


async def record(folder: Path) -> str:
    """Writes the recording and returns what is in it."""
    with tempfile.TemporaryDirectory() as logs:
        async with _stage(Path(logs)) as (recorder, management):
            topology = dict(await management.definitions())
            await play(recorder)
            return await _write(folder, recorder, topology)


@asynccontextmanager
async def _stage(logs: Path) -> AsyncIterator[tuple[Recorder, Management]]:
    tests = str(ROOT / "system-tests")
    async with fresh_system(logs, started=False, PYTHONPATH=tests, PAYMENT_SUCCESS_RATE="1") as system:
        for name, service in system.services.items():
            service.app = "failpoints.build:app"
            service.mortal = True
            service.environment["FAILPOINT_FILE"] = str(logs / f"{name}.failpoint")
        system.start()
        await system.healthy()
        database = await asyncpg.connect(system.database_url.replace("+asyncpg", ""))
        async with (
            bus(system.rabbitmq_url) as channel,
            httpx.AsyncClient(timeout=30) as client,
            httpx.AsyncClient(base_url=management_url(), timeout=30) as manager,
        ):
            management = Management(manager, system.vhost)
            yield Recorder(system, Shop(system, client), client, channel, management, database), management
        await database.close()


async def _write(folder: Path, recorder: Recorder, topology: Document) -> str:
    for queue in _QUEUES:
        recorder.messages += [Waiting.of(queue, message) for message in await recorder.channel.take(queue)]
    recorded_at = datetime.now(UTC)
    shop = {
        "recorded_at": recorded_at.isoformat(),
        "orders": recorder.orders,
        "answers": recorder.answers,
        "keys": recorder.keys,
        "charges": recorder.charges(),
        "stock": recorder.stock,
    }
    await asyncio.to_thread(backup.dump, recorder.system.database_url, folder / "shop.dump")
    (folder / "shop.json").write_text(json.dumps(shop, indent=1) + "\n")
    (folder / "topology.json").write_text(json.dumps(topology, indent=1, sort_keys=True) + "\n")
    (folder / "messages.jsonl").write_text("".join(waiting.line() for waiting in recorder.messages))
    return await _contents(recorder)


async def _contents(recorder: Recorder) -> str:
    """A line for each kind of thing. Raises AssertionError if one is missing that a recording should have."""
    found = await reading.read(recorder.system.database_url)
    states = {
        name: Counter(row["status"] for row in rows.values())
        for name, rows in (("orders", found.orders), ("reservations", found.reservations), ("payments", found.payments))
    }
    waiting = Counter(message.queue for message in recorder.messages)
    batches = Counter(message.queue for message in recorder.messages if message.number_of_events > 1)
    lines = [f"{name}: {dict(counts)}" for name, counts in states.items()]
    lines += [f"outboxes: {found.outboxes}", f"messages: {dict(waiting)}", f"of several events: {dict(batches)}"]
    missing = {name: wanted - states[name].keys() for name, wanted in _STATES.items()}
    unknown = sum(payment["outcome_unknown"] for payment in found.payments.values())
    retries = [name for name in waiting if ".retry." in name]
    whole = (
        not any(missing.values())
        and unknown
        and retries
        and all(found.outboxes.values())
        and set(SERVICES) | {f"{name}.dlq" for name in SERVICES} <= waiting.keys()
        and batches.keys() >= {*SERVICES, "inventory-service.dlq"}
    )
    assert whole, "\n".join([*lines, f"missing: {missing}; {unknown} outcomes unknown"])
    return "\n".join(lines)


def main() -> None:
    version = tomllib.loads((ROOT / "system-tests" / "pyproject.toml").read_text())["project"]["version"]
    parser = argparse.ArgumentParser(prog="python -m upgrade.record", description="Records a shop in mid-flight.")
    parser.add_argument("--folder", type=Path, default=RECORDINGS / version, help="replaced if it is there")
    folder = parser.parse_args().folder
    print(asyncio.run(record(folder)))
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()):,} bytes")


if __name__ == "__main__":
    main()
