"""Makes the books agree after a restore.

Finds what the services, and the payment gateway, no longer know of each other. The schemas are only read: each
service's own `python -m reconcile` enters what is missing, by its use cases, in a transaction and with the events in
the outbox. The command can be broken off and run again at any time.

FILE is the shop's report from its payment provider, a charge a line: {"payment_id": ..., "order_id": ...,
"customer_id": ..., "amount": 39.98, "currency": "USD"}, and "refunded": true for a charge that was given back.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships none
from chassis.ports.tracing import new_traceparent
from pydantic import TypeAdapter, ValidationError

from operations import books
from operations.addresses import ROOT, Refused, database_url, inside
from operations.books.rows import FINAL, LOST, OPEN, UNDONE, Row, payment_id
from operations.books.rules import Entry

_UNCHARGED = ("absent", "void", "failed", "cancelled")
"""Payments that know of no charge, and will not ask the gateway for one any more."""

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Charge:
    """As the gateway reports it."""

    payment_id: UUID
    order_id: UUID
    customer_id: UUID
    amount: Decimal
    currency: str
    refunded: bool = False


CHARGE = TypeAdapter(Charge)


@dataclass(slots=True)
class Found:
    """What is to be done, by whom."""

    orders: list[Data] = field(default_factory=list)
    """Lines for order-service's reconcile.py."""
    charges: list[Data] = field(default_factory=list)
    """Lines for payment-service's reconcile.py."""
    later: list[str] = field(default_factory=list)
    """What can't be told before an order or a payment has ended: to be run again."""
    people: list[str] = field(default_factory=list)
    """What nobody but a person can settle."""

    def take(self, entry: Entry, charges: Sequence[Charge]) -> None:
        """Compares what the services and the gateway know of one order."""
        own = [charge for charge in charges if charge.payment_id == _payment_id(entry, charge)]
        if entry.order is None:
            self._unknown(entry.reservation, entry.payment, [charge for charge in own if not charge.refunded])
        else:
            refunded = any(charge.refunded for charge in own)
            for event, data in _lost_facts(entry.order, entry.reservation, entry.payment, refunded=refunded):
                self.orders.append({"type": event, "data": {"order_id": entry.order["id"], **data}})
            for charge in own:
                self._charged(entry.order, entry.payment, charge)
        for charge in charges:
            if charge not in own:
                self.people.append(
                    f"{_name(charge.order_id, entry)}, and the gateway reports a payment that is not its own: "
                    f"{charge.payment_id}, {charge.amount} {charge.currency}{', refunded' if charge.refunded else ''}."
                )

    def _unknown(self, reservation: Row | None, payment: Row | None, kept: Sequence[Charge]) -> None:
        """An order that only others know: entered as lost, from what they know of it. A tombstone knows nothing, and
        asks for nothing."""
        live = [row for row in (reservation, payment) if row is not None and row["status"] != "void"]
        if not live and not kept:
            return
        if reservation is not None and reservation["status"] == "sold":
            charged = " and charged by the gateway's report" if kept else ""
            self.people.append(
                f"Order {reservation['order_id']} is not known, though its stock is sold;"
                f" its payment is {_status(payment)}{charged}."
            )
            return
        order = _adopted(live[0]) if live else _adopted_from(kept[0])
        self.orders.append({"type": "AdoptOrder", "data": order})
        if not order["items"]:
            self.people.append(
                f"Of order {order['order_id']} of customer {order['customer_id']} nothing is known but its payment of "
                f"{order['total_amount']} {order['currency']}: what was charged is given back."
            )
        for charge in kept:
            if _status(payment) in _UNCHARGED:
                self.charges.append(_entered(charge, order | {"reason": LOST}))

    def _charged(self, order: Row, payment: Row | None, charge: Charge) -> None:
        name = _name(charge.order_id, Entry(order, None, payment))
        if order["status"] == "completed":
            if charge.refunded:
                self.people.append(
                    f"{name}, but the gateway has given the money back: cancelled in the time that is lost."
                )
            elif _status(payment) != "completed":
                self.people.append(f"{name}, but the gateway reports that it was charged.")
        elif order["status"] not in FINAL or (not charge.refunded and _status(payment) in ("pending", "processing")):
            self.later.append(f"{name}: its charge is looked at once both have ended.")
        elif not charge.refunded and _status(payment) in _UNCHARGED:
            self.charges.append(_entered(charge, order))


def _lost_facts(
    order: Row, reservation: Row | None, payment: Row | None, *, refunded: bool
) -> Iterator[tuple[str, Data]]:
    """What the others know and the order does not: the event that told of it is gone, or the order's decision is, which
    it says again when it hears of the fact. Nobody is told of a charge that was given back (`refunded`) in the
    time that is lost."""
    held, paid, told = _status(reservation), _status(payment), {entry["event"] for entry in order["timeline"]}
    if held == "held" and order["status"] in FINAL:
        yield "InventoryReserved", {}
    untold = order["status"] in UNDONE or (order["status"] in OPEN and not refunded)
    if payment is not None and paid == "completed" and untold:
        yield "PaymentProcessed", {"amount": payment["amount"], "currency": payment["currency"]}
    if order["status"] not in UNDONE:
        return
    if reservation is not None and held == "released" and "InventoryReleased" not in told:
        yield "InventoryReleased", {"reason": reservation["reason"]}
    if payment is not None and paid == "refunded" and "PaymentRefunded" not in told:
        yield "PaymentRefunded", {"reason": payment["reason"]}


def _payment_id(entry: Entry, charge: Charge) -> UUID:
    """The id under which a charge of this order is ours: what payment-service makes of any other is nothing."""
    known: UUID | None = entry.payment["id"] if entry.payment else None
    return known or payment_id(charge.order_id)


def _name(order_id: UUID, entry: Entry) -> str:
    status = entry.order["status"] if entry.order else "not known"
    return f"Order {order_id} is {status}, its payment {_status(entry.payment)}"


def _status(row: Row | None) -> str:
    return row["status"] if row else "absent"


def _adopted(row: Row) -> Data:
    """The order as its reservation has it, or as its payment has."""
    return {
        **{name: row[name] for name in ("order_id", "customer_id", "currency", "expires_at", "traceparent")},
        "items": row.get("items") or [],
        "total_amount": row.get("total_amount") or row.get("amount"),
    }


def _adopted_from(charge: Charge) -> Data:
    return {
        "order_id": charge.order_id,
        "customer_id": charge.customer_id,
        "items": [],
        "total_amount": charge.amount,
        "currency": charge.currency,
        "expires_at": datetime.now(UTC),
        "traceparent": new_traceparent(),
    }


def _entered(charge: Charge, order: Row) -> Data:
    return {
        "payment_id": charge.payment_id,
        "order_id": charge.order_id,
        "customer_id": charge.customer_id,
        "amount": charge.amount,
        "currency": charge.currency,
        "undone_reason": order["reason"],
        "expires_at": order["expires_at"],
        "traceparent": order["traceparent"],
    }


async def find(url: str, charges: Iterable[Charge] = ()) -> Found:
    by_order: dict[UUID, list[Charge]] = {}
    for charge in charges:
        by_order.setdefault(charge.order_id, []).append(charge)
    found = Found()
    async for entry in books.entries(url):
        found.take(entry, by_order.pop(entry.order_id, []))
    for unheard_of in by_order.values():
        found.take(Entry(None, None, None), unheard_of)
    return found


def act(url: str, found: Found) -> None:
    """Orders first: what a charge is entered for must be undone by then."""
    for service, lines in (("order-service", found.orders), ("payment-service", found.charges)):
        if lines:
            _tell(service, url, lines)


def _tell(service: str, url: str, lines: Sequence[Data]) -> None:
    folder = ROOT / service
    if not folder.is_dir():
        raise Refused(f"Only {service}'s own code may enter this, and it isn't here: use `make reconcile`.", 2)
    own = folder / ".venv" / "bin" / "python"
    here = [str(own) if own.exists() else sys.executable]
    container = inside(service)
    subprocess.run(  # noqa: S603 (a list of words, no shell)
        [*([*container, "python"] if container else here), "-m", "reconcile"],
        cwd=folder,
        env=os.environ | {"DATABASE_URL": url},
        input="".join(json.dumps(line, default=str) + "\n" for line in lines),
        text=True,
        check=True,
    )


def read_charges(file: Path) -> list[Charge]:
    """Raises ValueError, naming the line that is no charge."""
    charges = []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        try:
            charges.append(CHARGE.validate_json(line))
        except ValidationError as error:
            problem = error.errors()[0]
            raise ValueError(f"{file}, line {number}: {'.'.join(map(str, problem['loc']))} {problem['msg']}") from None
    return charges


def report(found: Found) -> str:
    lines = []
    for heading, sentences in (("To be run again:", found.later), ("For people:", found.people)):
        lines += [heading, *(f"  {sentence}" for sentence in sentences)] if sentences else []
    adopted = sum(line["type"] == "AdoptOrder" for line in found.orders)
    counts = {
        "orders to be entered as lost": adopted,
        "facts to be told again": len(found.orders) - adopted,
        "charges to be given back": len(found.charges),
        "to be waited for": len(found.later),
        "for people": len(found.people),
    }
    return "\n".join([*lines, f"{', '.join(f'{number} {what}' for what, number in counts.items())}."])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--charges", metavar="FILE", type=Path, help="what the gateway reports as charged")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def run(options: argparse.Namespace) -> int:
    url = database_url()
    try:
        found = asyncio.run(find(url, read_charges(options.charges) if options.charges else ()))
        print(report(found), flush=True)
        if not options.dry_run:
            act(url, found)
    except (ValueError, OSError, asyncpg.PostgresError) as error:
        raise Refused(str(error), 2) from None
    except subprocess.CalledProcessError as error:
        sentence = f"Broken off, as stands above ({error.cmd[0]} ended with {error.returncode}): run it again."
        raise Refused(sentence) from None
    return 0
