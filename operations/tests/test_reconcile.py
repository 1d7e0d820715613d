"""What is done about an order after a restore, for each way in which the services and the gateway may stand."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from operations import reconcile
from operations.__main__ import main
from operations.books.rows import LOST, Row, payment_id
from operations.books.rules import Entry
from operations.reconcile import Charge, Found
from tests.ledger import CANCELLED, CUSTOMER, TOTAL, Kind, Ledger, order_id
from tests.planted import Planted, without

ORDERS = ("absent", "pending", "confirmed", "completed", "failed", "cancelled")
RESERVATIONS = ("absent", "void", "held", "refused", "sold", "released")
PAYMENTS = (
    "absent",
    "void",
    "pending",
    "processing",
    "completed",
    "failed",
    "cancelled",
    "refunding",
    "refunded",
)
CHARGES = ("none", "kept", "refunded", "another")
"""What the gateway reports: nothing; a charge; one that was given back; one under an id that is not the order's."""

# What is done, and where: a cell is every combination that the columns allow ("-": all, "not": all but these). What no
# rule names is left alone. Events are told to the order service, which answers what contradicts its decision with it.
RULES = """
order              | reservation   | payment                      | charge           | what

The decision, or a fact, was lost on its way:
completed failed cancelled | held  | -                            | -                | InventoryReserved
pending confirmed  | -             | completed                    | not refunded     | PaymentProcessed
failed cancelled   | -             | completed                    | -                | PaymentProcessed
failed cancelled   | released      | -                            | -                | InventoryReleased
failed cancelled   | -             | refunded                     | -                | PaymentRefunded

The order is forgotten, so what was done for it is undone; a tombstone is nothing done:
absent             | held refused released | -                    | -                | adopt
absent             | absent void   | not absent void              | -                | adopt
absent             | absent void   | absent void                  | kept             | adopt
absent             | absent void   | not absent void              | -                | tell: nothing is known but its
absent             | absent void   | absent void                  | kept             | tell: nothing is known but its
absent             | not sold      | absent void failed cancelled | kept             | give back
absent             | sold          | -                            | -                | tell: though its stock is sold

The charge is forgotten, or will be heard of under the same key:
failed cancelled   | -             | absent void failed cancelled | kept             | give back
failed cancelled   | -             | pending processing           | kept             | wait
pending confirmed  | -             | -                            | kept refunded    | wait
completed          | -             | -                            | refunded         | tell: has given the money back
completed          | -             | not completed                | kept             | tell: reports that it was charged
-                  | -             | -                            | another          | tell: payment that is not its own
"""
AXES = (ORDERS, RESERVATIONS, PAYMENTS, CHARGES)


def named(column: str, of: tuple[str, ...]) -> set[str]:
    names = column.removeprefix("not ").split()
    if column == "-":
        return set(of)
    assert set(names) <= set(of), column
    return set(of) - set(names) if column.startswith("not ") else set(names)


def rules() -> Iterator[tuple[list[set[str]], str]]:
    for row in RULES.splitlines()[2:]:
        if row and not row.endswith(":"):
            *columns, what = [column.strip() for column in row.split("|")]
            yield [named(column, of) for column, of in zip(columns, AXES, strict=True)], what


READ = list(rules())
TOLD = {what.removeprefix("tell: ") for _, what in READ if what.startswith("tell: ")}


def entry(order: str, reservation: str, payment: str, *, told: bool = False) -> Entry:
    """`told` says whether the order's timeline has its lines about reservation and payment."""
    reason = {"failed": "expired", "cancelled": CANCELLED}.get(order)
    kind = Kind(
        order, reason, None if reservation == "absent" else reservation, None if payment == "absent" else payment
    )
    ledger = Ledger(datetime.now(UTC))
    ledger.enter("it", kind, placed=ledger.now - timedelta(hours=1))
    orders, reservations, payments = (
        ledger.rows[table] for table in ("orders.orders", "inventory.reservations", "payments.payments")
    )
    if not told:
        orders[0]["timeline"] = [line for line in orders[0]["timeline"] if line["event"].startswith("Order")]
    return Entry(None if order == "absent" else orders[0], first(reservations), first(payments))


def first(rows: list[dict[str, Any]]) -> Row | None:
    return rows[0] if rows else None


def reported(charge: str) -> list[Charge]:
    if charge == "none":
        return []
    ours = order_id("another" if charge == "another" else "it")
    return [Charge(payment_id(ours), order_id("it"), CUSTOMER, TOTAL, "USD", refunded=charge == "refunded")]


def take(*entries: tuple[Entry, list[Charge]]) -> Found:
    found = Found()
    for each, charges in entries:
        found.take(each, charges)
    return found


def done(found: Found) -> list[str]:
    """In the words of RULES, of which each has its sentence for people."""
    words = ["adopt" if line["type"] == "AdoptOrder" else line["type"] for line in found.orders]
    words += ["give back" for _ in found.charges] + ["wait" for _ in found.later]
    for sentence in found.people:
        (phrase,) = [phrase for phrase in TOLD if phrase in sentence]
        words.append(f"tell: {phrase}")
    return sorted(words)


@pytest.mark.parametrize("order", ORDERS)
def test_each_combination_of_states_is_dealt_with_as_the_rules_say(order: str) -> None:
    for cell in product((order,), RESERVATIONS, PAYMENTS, CHARGES):
        whats = {what for columns, what in READ if all(s in c for s, c in zip(cell, columns, strict=True))}

        found = take((entry(*cell[:3]), reported(cell[3])))
        assert done(found) == sorted(whats), cell

        heard = take((entry(*cell[:3], told=True), reported(cell[3])))
        assert done(heard) == sorted(whats - {"InventoryReleased", "PaymentRefunded"}), cell


@pytest.mark.parametrize(
    ("reservation", "payment", "charge", "lines"),
    [("held", "processing", "none", 2), ("absent", "processing", "none", 0), ("void", "void", "kept", 0)],
    ids=["its reservation", "its payment", "the gateway's report"],
)
def test_a_forgotten_order_is_entered_on_the_terms_of_who_knows_it(
    reservation: str, payment: str, charge: str, lines: int
) -> None:
    known = entry("absent", reservation, payment)
    (line,) = take((known, reported(charge))).orders

    assert {name: line["data"][name] for name in ("order_id", "customer_id", "total_amount", "currency")} == {
        "order_id": order_id("it"),
        "customer_id": CUSTOMER,
        "total_amount": TOTAL,
        "currency": "USD",
    }
    assert len(line["data"]["items"]) == lines
    if charge == "none":
        row = known.reservation or known.payment
        assert row is not None
        assert (line["data"]["expires_at"], line["data"]["traceparent"]) == (row["expires_at"], row["traceparent"])


@pytest.mark.parametrize(("order", "reason"), [("cancelled", CANCELLED), ("failed", "expired"), ("absent", LOST)])
def test_a_forgotten_charge_is_given_back_for_the_reason_of_its_order(order: str, reason: str) -> None:
    known = entry(order, "released", "void")
    (line,) = take((known, reported("kept"))).charges

    terms = known.order or known.reservation
    assert terms is not None
    assert line == {
        "payment_id": payment_id(order_id("it")),
        "order_id": order_id("it"),
        "customer_id": CUSTOMER,
        "amount": TOTAL,
        "currency": "USD",
        "undone_reason": reason,
        "expires_at": terms["expires_at"],
        "traceparent": terms["traceparent"],
    }


def test_a_fact_is_told_again_with_the_reason_that_its_service_has() -> None:
    known = entry("cancelled", "released", "refunded")
    told = {line["type"]: line["data"] for line in take((known, [])).orders}
    assert told["InventoryReleased"] == told["PaymentRefunded"] == {"order_id": order_id("it"), "reason": CANCELLED}


def test_a_payment_is_told_again_with_its_amount() -> None:
    (line,) = take((entry("pending", "held", "completed"), [])).orders
    assert line["data"] == {"order_id": order_id("it"), "amount": TOTAL, "currency": "USD"}


def test_a_payment_that_was_opened_under_another_id_is_known_by_it() -> None:
    """As those were that are older than the rule for the id."""
    known = entry("cancelled", "released", "void")
    assert known.payment is not None
    old = order_id("old")
    charge = Charge(old, order_id("it"), CUSTOMER, TOTAL, "USD")

    found = take((Entry(known.order, known.reservation, {**known.payment, "id": old}), [charge]))

    assert [line["payment_id"] for line in found.charges] == [old]


def test_of_two_charges_our_own_is_given_back_and_the_other_is_for_people() -> None:
    found = take((entry("absent", "absent", "absent"), reported("another") + reported("kept")))
    assert done(found) == [
        "adopt",
        "give back",
        "tell: nothing is known but its",
        "tell: payment that is not its own",
    ]
    assert found.charges[0]["payment_id"] == payment_id(order_id("it"))


async def test_a_shop_in_order_has_nothing_to_reconcile(planted: Planted) -> None:
    assert await reconcile.find(planted.url) == Found()


async def test_what_the_database_has_of_an_order_is_seen_together_with_its_charges(planted: Planted) -> None:
    await planted.plant(without("orders.orders", "to be charged"), without("orders.orders", "cancelled at once"))
    unheard_of = Charge(payment_id(order_id("nobody's")), order_id("nobody's"), CUSTOMER, TOTAL, "USD")
    tombstone = Charge(payment_id(order_id("cancelled at once")), order_id("cancelled at once"), CUSTOMER, TOTAL, "USD")

    found = await reconcile.find(planted.url, [unheard_of, tombstone])

    entered = [line["data"]["order_id"] for line in found.orders]
    assert sorted(entered) == sorted(order_id(name) for name in ("to be charged", "cancelled at once", "nobody's"))
    assert [line["order_id"] for line in found.charges] == [tombstone.order_id, unheard_of.order_id]


async def test_only_looking_enters_nothing_and_a_line_that_is_no_charge_is_named(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await planted.plant(without("orders.orders", "to be charged"))
    before = [finding.sentence for finding in (await planted.audit()).findings]
    report = tmp_path / "charges.jsonl"

    monkeypatch.setenv("DATABASE_URL", planted.url)

    async def said_by(*arguments: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(main, ["reconcile", *arguments])
        return status, *capsys.readouterr()

    status, said, _ = await said_by("--dry-run")
    assert status == 0
    assert "1 orders to be entered as lost, 0 facts to be told again" in said
    assert [finding.sentence for finding in (await planted.audit()).findings] == before

    line = {"payment_id": str(order_id("a")), "order_id": str(order_id("b")), "customer_id": str(CUSTOMER)}
    report.write_text(json.dumps(line | {"amount": 1, "currency": "USD"}) + "\n" + json.dumps(line) + "\n")
    status, said, complaint = await said_by("--charges", str(report))
    assert (status, said) == (2, "")
    assert "line 2: amount Field required" in complaint
    assert [finding.sentence for finding in (await planted.audit()).findings] == before
