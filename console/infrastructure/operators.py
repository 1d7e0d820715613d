"""The operators' tool, called as functions."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import asyncpg  # type: ignore[import-untyped]  # it ships none
from chassis.ports.errors import Unavailable, reason_of

from application.ports import Refused
from operations import addresses, books, dead_letters

FINDINGS_SHOWN = 200
LETTERS_SHOWN = 200
LONGEST_LETTER = 20_000


class OperatorsTool:
    def __init__(self, database_url: Callable[[], str], rabbitmq_url: Callable[[], str], *, verified: bool) -> None:
        """`verified` if the broker vouches for who sent each message."""
        self._database_url = database_url
        self._rabbitmq_url = rabbitmq_url
        self._verified = verified
        self._one_at_a_time = asyncio.Lock()
        """Letters that somebody looks at are hidden from whoever looks at the same time."""

    async def counts(self) -> dict[str, int]:
        async with _available("the database"):
            return await books.counts(self._database_url())

    async def books(self) -> dict[str, Any]:
        async with _available("the database"):
            audit = await books.examine(self._database_url(), settled=False)
        return {
            "agree": not audit.alarming,
            "statuses": dict(audit.statuses),
            "orders": audit.statuses.total(),
            "findings": [
                {"severity": finding.severity, "sentence": finding.sentence}
                for finding in audit.findings[:FINDINGS_SHOWN]
            ],
            "more": max(len(audit.findings) - FINDINGS_SHOWN, 0),
        }

    async def dead_letters(self) -> list[dict[str, Any]]:
        found: list[dead_letters.DeadLetter] = []
        async with self._one_at_a_time, _available("the broker"):
            await dead_letters.act(
                self._rabbitmq_url(), "list", addresses.SERVICES, wanted=None, dry_run=True, tell=found.append
            )
        return [
            {
                "service": letter.service,
                "id": letter.id,
                "at": letter.at,
                "reason": letter.reason,
                "forged": letter.unfit(verified=self._verified) is not None,
                "events": [{"name": name, "order_id": order_id} for name, order_id in letter.events[:20]],
                "text": letter.text()[:LONGEST_LETTER],
            }
            for letter in found[:LETTERS_SHOWN]
        ]

    async def settle(self, action: str, services: Sequence[str], letter_id: str | None) -> int:
        """Redrives or drops the letter, or all of these services; how many there were."""
        async with self._one_at_a_time, _available("the broker"):
            try:
                return await dead_letters.act(
                    self._rabbitmq_url(),
                    action,
                    services,
                    wanted=letter_id,
                    dry_run=False,
                    verified=self._verified,
                    tell=lambda _: None,
                )
            except addresses.Refused as refusal:
                raise Refused(409, "refused", str(refusal)) from None


@asynccontextmanager
async def _available(server: str) -> AsyncIterator[None]:
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, aio_pika.exceptions.AMQPError) as error:
        raise Unavailable(f"{server} does not answer ({reason_of(error)})") from error
