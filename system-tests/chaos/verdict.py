"""What must be true once all is quiet: asked of the books, the queues, the dead letters and the logs."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
import httpx
from chassis.messaging.topology import Queue

from bus import bus
from chaos.catalogue import Catalogue
from chaos.poison import TOKEN, Poison
from chaos.shoppers import Shoppers
from operations import books
from operations.addresses import SERVICES
from operations.books.rows import FINAL
from system import System, management_url

_OPEN = """
    SELECT (SELECT count(*) FROM orders.orders WHERE due_at IS NOT NULL)
         + (SELECT count(*) FROM inventory.reservations WHERE status = 'held')
         + (SELECT count(*) FROM payments.payments WHERE status IN ('pending', 'processing', 'refunding'))
         + (SELECT count(*) FROM orders.outbox)
         + (SELECT count(*) FROM inventory.outbox)
         + (SELECT count(*) FROM payments.outbox)
"""
_ORDERS = """
    SELECT o.id, o.customer_id, o.items, o.total_amount, o.status, o.timeline, k.key
    FROM orders.orders o LEFT JOIN orders.idempotency_keys k ON k.resource_id = o.id
"""
_LOOK_EVERY_SECONDS = 0.5


@dataclass
class Verdict:
    violations: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    expired: int = 0
    lost: int = 0
    """Orders that a customer was told of and that are not there, or are not what was sent."""
    double: int = 0
    """Orders that nobody was told of, keys with two orders, orders charged twice or charged and not given back."""
    longest_order: timedelta = timedelta(0)


async def quiet(system: System, initial: Mapping[UUID, int], within_seconds: float) -> list[str]:
    """Waits until nothing is under way any more; returns what still was, or did not agree, when the time was over."""
    ends = time.monotonic() + within_seconds
    while True:
        found = await _unquiet(system, initial)
        if not found or time.monotonic() > ends:
            return found
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def _unquiet(system: System, initial: Mapping[UUID, int]) -> list[str]:
    database = await asyncpg.connect(system.database_url.replace("+asyncpg", ""))
    try:
        under_way = await database.fetchval(_OPEN)
    finally:
        await database.close()
    if under_way:
        return [f"{under_way} orders, reservations, payments or events are still under way."]
    queues = [name for service in SERVICES for name in Queue(service, ()).queues if not name.endswith(".dlq")]
    async with httpx.AsyncClient(base_url=management_url(), timeout=30) as client:
        answer = await client.get(f"/api/queues/{system.vhost}")
        waiting = {queue["name"]: queue.get("messages", -1) for queue in answer.json()}
    found = [f"The queue {name} keeps {waiting.get(name)} messages." for name in queues if waiting.get(name) != 0]
    return found or await books.audit(system.database_url, initial)


async def judge(
    system: System, shoppers: Shoppers, catalogue: Catalogue, sent: Sequence[Poison], logs: Iterable[Path]
) -> Verdict:
    verdict = Verdict(violations=list(shoppers.complaints))
    statuses = await _orders(verdict, system.database_url, shoppers, catalogue)
    await _dead_letters(verdict, system.rabbitmq_url, sent)
    _logs(verdict, logs, statuses)
    return verdict


async def _orders(verdict: Verdict, database_url: str, shoppers: Shoppers, catalogue: Catalogue) -> dict[str, str]:
    """Compares every order with what its customer sent and was told; returns each order's status."""
    statuses: dict[str, str] = {}
    number_of = {order_id: number for number, order_id in shoppers.accepted.items()}
    async for row in _rows(database_url):
        order_id, status, number = str(row["id"]), row["status"], number_of.get(str(row["id"]))
        statuses[order_id] = status
        verdict.statuses[status] += 1
        final = next((entry for entry in row["timeline"] if entry["status"] in FINAL), None)
        if final is not None:
            verdict.expired += final["reason"] == "expired"
            lasted = datetime.fromisoformat(final["at"]) - datetime.fromisoformat(row["timeline"][0]["at"])
            verdict.longest_order = max(verdict.longest_order, lasted)
        if number is None:
            verdict.double += 1
            verdict.violations.append(f"Order {order_id} ({row['key']}) is nobody's: its customer was told of another.")
            continue
        order = catalogue.order(number)
        if row["key"] != order.key:
            verdict.double += 1
            verdict.violations.append(f"Order {order_id} is known under the key {row['key']}, not {order.key}.")
        if order.differs_from(row):
            verdict.lost += 1
            verdict.violations.append(f"Order {order_id} is not what its customer sent.")
        if (number in shoppers.cancelled) != (status == "cancelled"):
            said = "was told that it is" if number in shoppers.cancelled else "was not told that it is"
            verdict.violations.append(f"Order {order_id} is {status}, but its customer {said} cancelled.")
    for order_id in number_of.keys() - statuses.keys():
        verdict.lost += 1
        verdict.violations.append(f"Order {order_id} was accepted, and is lost.")
    return statuses


async def _rows(database_url: str) -> AsyncIterator[Mapping[str, Any]]:
    database = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        await database.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        async with database.transaction(readonly=True):
            async for row in database.cursor(_ORDERS, prefetch=500):
                yield row
    finally:
        await database.close()


async def _dead_letters(verdict: Verdict, rabbitmq_url: str, sent: Sequence[Poison]) -> None:
    """All the poison must be there, in whose queue it was put, and nothing else."""
    async with bus(rabbitmq_url) as channel:
        for service in SERVICES:
            tokens = {poison.token for poison in sent if poison.service == service}
            missing = set(tokens)
            for letter in await channel.take(f"{service}.dlq"):
                match = TOKEN.search(letter.body)
                token = match[0].decode() if match else ""
                missing.discard(token)
                if token not in tokens:
                    reason = letter.headers.get("x-reason") or letter.headers.get("x-death")
                    verdict.violations.append(f"{service} set aside ({reason!s}): {letter.body[:500]!r}")
            verdict.violations += [f"{name} is not among the dead letters." for name in sorted(missing)]


def _logs(verdict: Verdict, logs: Iterable[Path], statuses: Mapping[str, str]) -> None:
    """One charge for each completed order, and none that was kept of any other or of which the outcome was never
    learnt, as those who called the gateway logged it; and no error that nobody foresaw."""
    answers: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))  # by order and key
    errors: Counter[str] = Counter()
    for line in _told(logs):
        if line["event"] == "payment attempt":
            answers[line["order"]][line["key"]].add(line["answer"])
        elif line["level"] == "error" and line["event"] != "event dead-lettered":
            errors[f"{line['service']}: {line['event']}"] += 1
    verdict.violations += [f"Logged {times} times: {error}." for error, times in errors.items()]
    for order_id in answers.keys() | statuses.keys():
        status, keys = statuses.get(order_id, "absent"), answers.get(order_id, {})
        done = [key for key, said in keys.items() if "done" in said]
        refunded = sum(key.endswith(":refund") for key in done)
        charged = len(done) - refunded
        if charged > 1 or charged - refunded != (status == "completed") or {"unknown"} in keys.values():
            verdict.double += charged > 1 or charged - refunded > (status == "completed")
            said = ", ".join(f"{key}: {'/'.join(sorted(said))}" for key, said in keys.items())
            verdict.violations.append(f"Order {order_id} is {status}, but the gateway's answers were {said or 'none'}.")


def _told(logs: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The lines that matter here, of logs that may be large."""
    for log in logs:
        with log.open(errors="replace") as lines:
            for line in lines:
                if line.startswith("{") and ('"payment attempt"' in line or '"error"' in line):
                    yield json.loads(line)
