"""What the books say: to people as sentences, to Prometheus as figures."""

from collections import Counter

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from operations.books.rows import FINAL, OPEN
from operations.books.rules import ATTENTION, OVERDUE, Audit


def metrics(audit: Audit) -> str:
    """The figures in Prometheus' text format."""
    registry = CollectorRegistry()
    orders = Gauge("books_orders", "Orders by status", ("status",), registry=registry)
    for status in sorted(OPEN | FINAL):
        orders.labels(status).set(audit.statuses[status])
    Gauge("books_open_orders", "Orders that are not final", registry=registry).set(
        sum(audit.statuses[status] for status in OPEN)
    )
    found = Counter(finding.kind for finding in audit.findings)
    Gauge("books_violations", "Disagreements between the services", registry=registry).set(found["violation"])
    for name, text, kinds in (
        ("books_overdue", "What should have happened by now", OVERDUE),
        ("books_attention", "What a person should look at", ATTENTION),
    ):
        gauge = Gauge(name, text, ("kind",), registry=registry)
        for kind in kinds:
            gauge.labels(kind).set(found[kind])
    Gauge("books_read_timestamp_seconds", "When the books were read", registry=registry).set(audit.now.timestamp())
    return generate_latest(registry).decode()


def report(audit: Audit) -> str:
    headings = {"violation": "Does not agree:", "overdue": "Overdue:", "attention": "Needs attention:"}
    lines = []
    for severity, heading in headings.items():
        sentences = [f"  {finding.sentence}" for finding in audit.findings if finding.severity == severity]
        lines += [heading, *sentences] if sentences else []
    found = Counter(finding.severity for finding in audit.findings)
    counts = ", ".join(f"{number} {status}" for status, number in audit.statuses.most_common()) or "none"
    figures = f"{found['violation']} violations, {found['overdue']} overdue" if audit.alarming else "the books agree"
    attention = f", {found['attention']} need attention" if found["attention"] else ""
    return "\n".join([*lines, f"{audit.statuses.total()} orders ({counts}): {figures}{attention}."])
