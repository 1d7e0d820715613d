"""What processes cost, as Linux counts it in /proc, and what the broker counted."""

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
from chassis.testing import eventually

_PROC = Path("/proc")
_MS_A_TICK = 1000 / os.sysconf("SC_CLK_TCK")
_QUIET_SHARE = 0.15
_QUIET_SECONDS = 0.3
_QUIET_WITHIN_SECONDS = 300
BROKER_TELLS_AFTER_SECONDS = 5.5
"""RabbitMQ gathers its channels' counts every 5 s."""


def cpu_ms(roots: Iterable[int]) -> float:
    """The CPU time that these processes and all below them have used, in user and in kernel mode.

    What has ended is in its parent's count of children waited for: PostgreSQL's backends come and go, its postmaster
    waits for each. So a tree's sum is that of all four counts of all that live.
    """
    ticks: dict[int, int] = {}
    children: dict[int, list[int]] = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            ticks[int(entry.name)] = sum(int(field) for field in fields[11:15])
            children[int(fields[1])].append(int(entry.name))
    total, waiting = 0, list(roots)
    while waiting:
        pid = waiting.pop()
        total += ticks.get(pid, 0)
        waiting += children[pid]
    return total * _MS_A_TICK


def machine_busy_ms() -> float:
    """The CPU time that all of the machine has used: us, everybody else, the kernel, and what a hypervisor took."""
    user, nice, system, _, _, irq, softirq, steal = (
        int(ticks) for ticks in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * _MS_A_TICK


def memory_mb(pids: Iterable[int]) -> tuple[float, float]:
    """Resident memory, and the proportional share of it: pages that processes share are divided among them."""
    rss = pss = 0
    for pid in pids:
        lines = (line.split() for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:])
        kilobytes = {words[0]: int(words[1]) for words in lines}
        rss += kilobytes["Rss:"]
        pss += kilobytes["Pss:"]
    return rss / 1024, pss / 1024


async def quiet(pids: Iterable[int]) -> None:
    """Returns once these processes have next to nothing to do any more, whatever it was."""
    roots = list(pids)
    before = cpu_ms(roots)
    for _ in range(round(_QUIET_WITHIN_SECONDS / _QUIET_SECONDS)):
        await asyncio.sleep(_QUIET_SECONDS)
        after = cpu_ms(roots)
        if after - before < _QUIET_SHARE * _QUIET_SECONDS * 1000:
            return
        before = after
    raise SystemExit(f"Something is still busy {_QUIET_WITHIN_SECONDS} s after the last order was final.")


async def server_pids(database: asyncpg.Connection, management_url: str) -> dict[str, list[int]]:
    """The processes to which everything of PostgreSQL and of RabbitMQ belongs. Both must run on this machine as it is:
    of what runs in a container /proc knows other numbers."""
    fields = _fields(await database.fetchval("SELECT pg_backend_pid()"))
    broker = 0
    async with httpx.AsyncClient(base_url=management_url) as client:

        async def told() -> bool:
            nonlocal broker
            broker = int((await client.get("/api/nodes")).json()[0].get("os_pid", 0))
            return broker > 0

        await eventually(told)  # a node that has just been started doesn't know it yet
    if not fields or _program(int(fields[1])) != "postgres" or _program(broker) != "beam.smp":
        raise SystemExit("PostgreSQL and RabbitMQ must run natively, or nobody can say what they cost.")
    return {"PostgreSQL": [int(fields[1])], "RabbitMQ": [broker]}


async def smallest_prefetch(management_url: str, vhost: str) -> int:
    """How many messages the most careful consumer of a vhost lets the broker send it at once."""
    async with httpx.AsyncClient(base_url=management_url) as client:
        consumers = (await client.get(f"/api/consumers/{vhost}")).json()
    return min((int(consumer["prefetch_count"]) for consumer in consumers), default=0)


async def messages(management_url: str, vhost: str) -> Mapping[str, int]:
    """How many messages were published and delivered in a vhost, as of BROKER_TELLS_AFTER_SECONDS ago."""
    async with httpx.AsyncClient(base_url=management_url) as client:
        counted = (await client.get(f"/api/vhosts/{vhost}")).json().get("message_stats", {})
    return {"published": counted.get("publish", 0), "delivered": counted.get("deliver", 0)}


def _fields(pid: int) -> list[str]:
    """A process's fields in /proc/PID/stat from the third on, behind its name; none if it has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _program(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""
