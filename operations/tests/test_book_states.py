"""Which states of order, reservation and payment go together, and for how long; what is overdue, and since when."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from operations.__main__ import main
from operations.books.report import metrics
from operations.books.rules import ATTENTION, OVERDUE, Audit
from tests.ledger import CANCELLED, KINDS, NEVER_SOLD, Kind, Ledger, order_id
from tests.planted import BALANCE, Planted, event, item, order, payment, reservation

# Each cell says for how long the two may be seen together:
#   always | moments: until the other service has followed | gateway: as long as the gateway takes | never
#   late: always, if it is the tombstone of what came past the deadline, else never
_RESERVATIONS = """
              absent   void     held     refused  sold     released
    pending   always   late     moments  moments  never    never
    confirmed never    never    always   never    never    never
    completed never    never    moments  never    always   never
    failed    always   always   moments  always   never    always
    cancelled always   always   moments  always   never    always
"""
_PAYMENTS = """
              absent   void     pending  processing unknown completed failed   cancelled refunding refunded
    pending   always   late     always   always     always  moments   moments  never     never     never
    confirmed always   late     always   always     always  moments   moments  never     never     never
    completed never    never    never    never      never   always    never    never     never     never
    failed    always   always   moments  moments    gateway moments   always   always    gateway   always
    cancelled always   always   moments  moments    gateway moments   always   always    gateway   always
"""
_OPEN = ("pending", "confirmed")


def cells(table: str) -> dict[tuple[str, str], str]:
    heading, *rows = [line.split() for line in table.strip().splitlines()]
    return {(row[0], state): cell for row in rows for state, cell in zip(heading, row[1:], strict=True)}


def an_order(state: str, what: str, other: str) -> Kind:
    reason = {"failed": "expired", "cancelled": CANCELLED}.get(state)
    if what == "reservation":
        return Kind(state, reason, reservation=None if other == "absent" else other)
    if other == "unknown":
        return Kind(state, reason, payment="processing", changes={"outcome_unknown": True})
    return Kind(state, reason, payment=None if other == "absent" else other)


@pytest.mark.parametrize(
    ("what", "table"), [("reservation", _RESERVATIONS), ("payment", _PAYMENTS)], ids=["reservations", "payments"]
)
@pytest.mark.parametrize("seen", ["at once", "after three minutes", "at rest"])
async def test_states_go_together_as_the_tables_say(planted: Planted, what: str, table: str, seen: str) -> None:
    ledger = Ledger(datetime.now(UTC))
    changed = ledger.now - timedelta(minutes=0 if seen == "at once" else 3)
    for state, other in cells(table):
        kind = an_order(state, what, other)
        ledger.enter(f"{state} {other}", kind, placed=ledger.now - timedelta(minutes=5), changed=changed)
    ledger.stock()
    ledger.traffic()
    await planted.write(ledger)

    sentences = {finding.sentence for finding in (await planted.audit(settled=seen == "at rest")).findings}

    def refused(state: str, other: str) -> bool:
        named = "processing" if other == "unknown" else other
        return f"Order {order_id(f'{state} {other}')} is {state}, but its {what} is {named}." in sentences

    wrong = {
        "at once": {"never", "late"},
        "after three minutes": {"never", "late", "moments"},
        "at rest": {"never", "moments", "gateway"},
    }[seen]
    looked_at = {cell: mark for cell, mark in cells(table).items() if seen != "at rest" or cell[0] not in _OPEN}
    assert {cell: refused(*cell) for cell in looked_at} == {cell: mark in wrong for cell, mark in looked_at.items()}
    for state, other in cells(table).keys() - looked_at.keys():
        assert f"Order {order_id(f'{state} {other}')} is {state}, which is not final." in sentences


@pytest.mark.parametrize("state", ["pending", "confirmed"])
async def test_a_tombstone_of_an_open_order_is_right_past_its_deadline(planted: Planted, state: str) -> None:
    """The order service is a little late with its own decision."""
    ledger = Ledger(datetime.now(UTC))
    kind = Kind(state, None, None if state == "confirmed" else "void", "void")
    ledger.enter("placed", kind, placed=ledger.now - timedelta(minutes=16))
    ledger.stock()
    ledger.traffic()
    await planted.write(ledger)
    for table in ("inventory.reservations", "payments.payments"):
        await planted.plant(f"UPDATE {table} SET created_at = expires_at, updated_at = expires_at")
    fits = [f"but its {what} is void" for what in ("reservation", "payment")]

    async def found() -> list[str]:
        sentences = [finding.sentence for finding in (await planted.audit()).findings]
        return [fit for fit in fits if any(fit in sentence for sentence in sentences)]

    assert await found() == []
    for table in ("inventory.reservations", "payments.payments"):
        await planted.plant(f"UPDATE {table} SET created_at = expires_at - interval '1 ms'")
    assert await found() == (fits if state == "pending" else fits[1:])


EXPIRED = "expires_at = now() - age"
STATES = ("violation", "violation")
# What is right for so many seconds, `age` being how long it has been so.
GRACES = [
    # Whoever of the two was changed last is who has to be followed.
    (
        120,
        *STATES,
        reservation("paid", "status = 'held', updated_at = now() - age") + BALANCE,
        "but its reservation is held",
    ),
    (
        120,
        *STATES,
        reservation("paid", "status = 'held'") + order("paid", "updated_at = now() - age") + BALANCE,
        "but its reservation is held",
    ),
    (120, *STATES, order("refunded", "timeline = timeline - 3, updated_at = now() - age"), "no line InventoryReleased"),
    (120, *STATES, order("refunded", "timeline = timeline - 4, updated_at = now() - age"), "no line PaymentRefunded"),
    (
        120,
        *STATES,
        order("refunded", "timeline = timeline - 4") + payment("refunded", "updated_at = now() - age"),
        "no line PaymentRefunded",
    ),
    (120, "overdue", "order", order("placed", f"{EXPIRED}, due_at = now() - age"), "though its time is up since"),
    (
        120,
        "overdue",
        "order",
        order("held", f"{EXPIRED}, due_at = now() - age") + reservation("held", EXPIRED),
        "is confirmed, though its time is up since",
    ),
    (
        300,
        "overdue",
        "reservation",
        reservation("held", EXPIRED),
        "is confirmed and expired, but its stock is held all the same",
    ),
    (120, "overdue", "payment", payment("to be charged", "due_at = now() - age"), "its payment is pending, and to be"),
    (120, "overdue", "payment", payment("between attempts", "due_at = now() - age"), "is processing, and to be asked"),
    (120, "overdue", "payment", payment("being charged", "due_at = now() - age"), "is processing, and to be asked"),
    (120, "overdue", "payment", payment("being refunded", "due_at = now() - age"), "is refunding, and to be asked for"),
    *(
        (60, "overdue", "outbox", event(schema, "age") + event(schema), f"The outbox of {schema} keeps")
        for schema in ("orders", "inventory", "payments")
    ),
]


@pytest.mark.parametrize(
    ("grace", "severity", "kind", "statement", "expected"), GRACES, ids=[f"{n} {g[4]}" for n, g in enumerate(GRACES)]
)
async def test_what_is_late_is_found_once_its_time_is_up(
    planted: Planted, grace: int, severity: str, kind: str, statement: str, expected: str
) -> None:
    def found(audit: Audit) -> list[str]:
        return [f.sentence for f in audit.findings if (f.severity, f.kind) == (severity, kind)]

    await planted.plant(statement.replace("age", f"interval '{grace - 30} s'"))
    assert not any(expected in sentence for sentence in found(await planted.audit()))

    await planted.plant(statement.replace("age", f"interval '{grace + 1} s'"))
    assert any(expected in sentence for sentence in found(await planted.audit()))


@pytest.mark.parametrize(
    ("name", "severity", "kind"),
    [
        ("being refunded", "overdue", "refund"),
        ("being charged", "attention", "unknown-outcome"),
        ("undone and unknown", "attention", "unknown-outcome"),
    ],
)
async def test_a_gateway_that_gives_no_answer_ten_times_is_told_of(
    planted: Planted, name: str, severity: str, kind: str
) -> None:
    await planted.plant(payment(name, "waits = 9"))
    assert (await planted.audit()).findings == []
    await planted.plant(payment(name, "waits = 10"))
    assert [(f.severity, f.kind) for f in (await planted.audit()).findings] == [(severity, kind)]


async def test_at_rest_nothing_is_only_late(planted: Planted) -> None:
    for _, _, _, statement, _ in GRACES:
        await planted.plant(statement.replace("age", "interval '1 h'"))
    for name in ("being refunded", "being charged"):
        await planted.plant(payment(name, "waits = 10"))

    audit = await planted.audit(settled=True)

    assert {finding.severity for finding in audit.findings} == {"violation"}
    for schema in ("orders", "inventory", "payments"):
        said = f"The outbox of {schema} still keeps 3 event(s)."
        assert said in [finding.sentence for finding in audit.findings]


ONE_OF_EACH = {
    "violation": item(NEVER_SOLD, "reserved_quantity = 1"),
    "order": order("placed", "expires_at = now() - interval '1 h', due_at = now() - interval '1 h'"),
    "payment": payment("between attempts", "due_at = now() - interval '1 h'"),
    "refund": payment("being refunded", "waits = 10"),
    "outbox": event("orders", "interval '1 h'"),
    "unknown-outcome": payment("being charged", "waits = 10"),
}


@pytest.mark.parametrize("planted_kinds", [*((kind,) for kind in ONE_OF_EACH), (), tuple(ONE_OF_EACH)], ids=str)
async def test_the_figures_count_each_kind(planted: Planted, planted_kinds: tuple[str, ...]) -> None:
    await planted.plant(*[ONE_OF_EACH[kind] for kind in planted_kinds])

    audit = await planted.audit({})

    figures = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics(audit))
        for sample in family.samples
    }
    orders = [kind.order for kind in KINDS.values()]
    expected: dict[tuple[str, ...], float] = {
        **{("books_orders", state): orders.count(state) for state in (*_OPEN, "completed", "failed", "cancelled")},
        ("books_open_orders",): orders.count("pending") + orders.count("confirmed"),
        ("books_violations",): float("violation" in planted_kinds),
        **{("books_overdue", kind): float(kind in planted_kinds) for kind in OVERDUE},
        **{("books_attention", kind): float(kind in planted_kinds) for kind in ATTENTION},
        ("books_read_timestamp_seconds",): audit.now.timestamp(),
    }
    assert figures == expected


@pytest.mark.parametrize(
    ("planted_kinds", "arguments", "status", "headings", "verdict"),
    [
        ((), (), 0, [], "the books agree."),
        (("unknown-outcome",), (), 0, ["Needs attention:"], "the books agree, 1 need attention."),
        (("outbox",), (), 1, ["Overdue:"], "0 violations, 1 overdue."),
        (("violation",), (), 1, ["Does not agree:"], "1 violations, 0 overdue."),
        (
            ("unknown-outcome", "outbox", "violation"),
            (),
            1,
            ["Does not agree:", "Overdue:", "Needs attention:"],
            "1 violations, 1 overdue, 1 need attention.",
        ),
        (("violation",), ("--metrics",), 0, [], "books_read_timestamp_seconds"),
        ((), ("--settled",), 1, ["Does not agree:"], "violations, 0 overdue."),
    ],
    ids=str,
)
async def test_the_command_ends_with_1_for_what_is_wrong_or_overdue(
    planted: Planted,
    planted_kinds: tuple[str, ...],
    arguments: tuple[str, ...],
    status: int,
    headings: list[str],
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await planted.plant(*[ONE_OF_EACH[kind] for kind in planted_kinds])

    monkeypatch.setenv("DATABASE_URL", planted.url)

    ended = await asyncio.to_thread(main, ["books", *arguments])

    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert (ended, printed.err) == (status, "")
    assert [line for line in lines if line.endswith(":")] == headings
    assert verdict in lines[-1]
    if arguments != ("--metrics",):
        assert lines[-1].startswith(f"{len(KINDS)} orders (")
        assert " failed, " in lines[-1]
