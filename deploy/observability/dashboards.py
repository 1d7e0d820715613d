"""The dashboards, in few words, and the JSON that Grafana wants of each, in dashboards/.

    python3 deploy/observability/dashboards.py [--check]

Each panel answers a question, which is its description. tests/test_dashboards.py asks all queries of a running system.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("dashboards")
SERVICES = 'job=~".+-service"'
_CALLS = 'route!~"/health.*|/metrics"'
CALLS = f"rate(http_request_duration_seconds_count{{{_CALLS}}}[5m])"
SUCCEEDED = f'rate(http_request_duration_seconds_count{{status!~"5..", {_CALLS}}}[5m])'
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 8


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    question: str
    unit: str
    """As Grafana calls it."""
    queries: dict[str, str]
    """By legend, which may name labels: {{job}}."""
    kind: str = "timeseries"


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    panels: tuple[Panel, ...]


def quantiles(metric: str, by: str, *parts: float) -> dict[str, str]:
    legend = f"{{{{{by}}}}} " if by else ""
    labels = f"le, {by}" if by else "le"
    return {
        f"{legend}p{part * 100:.0f}": f"histogram_quantile({part}, sum by ({labels}) (rate({metric}[5m])))"
        for part in parts
    }


def mean(sum_of: str, count_of: str) -> str:
    return f"sum(rate({sum_of}[5m])) / sum(rate({count_of}[5m]))"


DASHBOARDS = (
    Dashboard(
        "orders",
        "Orders and money",
        (
            Panel(
                "Orders",
                "How many orders a second reach each status?",
                "ops",
                {"{{status}}": "sum by (status) (rate(orders_total[5m]))"},
            ),
            Panel(
                "Money an hour",
                "What do the orders come to that are completed, and what is lost? In the shop's currency.",
                "short",
                {
                    "{{status}}": "3600 * sum by (status)"
                    ' (rate(order_amounts_total{status=~"completed|failed|cancelled"}[5m]))'
                },
            ),
            Panel(
                "Time to completed",
                "How long does a customer wait until the order is paid and its stock is sold?",
                "s",
                quantiles('order_decided_seconds_bucket{status="completed"}', "", 0.5, 0.99),
            ),
            Panel(
                "All orders",
                "How many orders have each status now, by the books?",
                "short",
                {"{{status}}": "max by (status) (books_orders)"},
                "stat",
            ),
            Panel(
                "Do the books agree?",
                "Is anything contradictory, overdue, or for a person to look at? `make books` names it.",
                "short",
                {
                    "violations": "max(books_violations)",
                    "overdue {{kind}}": "max by (kind) (books_overdue)",
                    "attention {{kind}}": "max by (kind) (books_attention)",
                },
                "stat",
            ),
            Panel(
                "Payment gateway",
                "How does the gateway answer, and does the circuit breaker (0 closed, 2 open) leave it alone?",
                "ops",
                {
                    "{{kind}} {{answer}}": "sum by (kind, answer) (rate(payment_attempts_total[5m]))",
                    "breaker": "max(payment_breaker_state)",
                },
            ),
        ),
    ),
    Dashboard(
        "services",
        "Services",
        (
            Panel(
                "Instances",
                "Which instances answer, and read their queue?",
                "short",
                {
                    "{{job}} up": f"sum by (job) (up{{{SERVICES}}})",
                    "{{job}} consumers": "sum by (job) (broker_connected)",
                },
                "stat",
            ),
            Panel(
                "Requests",
                "How many requests a second does each service answer?",
                "reqps",
                {"{{job}}": f"sum by (job) ({CALLS})"},
            ),
            Panel(
                "Failed requests",
                "Which part of the requests is answered with 5xx?",
                "percentunit",
                {"{{job}}": f"1 - sum by (job) ({SUCCEEDED}) / sum by (job) ({CALLS})"},
            ),
            Panel(
                "Time to answer",
                "How long do requests take?",
                "s",
                quantiles(f"http_request_duration_seconds_bucket{{{_CALLS}}}", "job", 0.99),
            ),
            Panel(
                "Processor",
                "How many cores does each instance use? At 1 it can do no more: start another.",
                "short",
                {"{{job}} {{instance}}": f"rate(process_cpu_seconds_total{{{SERVICES}}}[5m])"},
            ),
            Panel(
                "Memory",
                "Does an instance grow? At most 220 MB are expected.",
                "bytes",
                {"{{job}} {{instance}}": f"process_resident_memory_bytes{{{SERVICES}}}"},
            ),
        ),
    ),
    Dashboard(
        "broker",
        "Broker and outbox",
        (
            Panel(
                "Waiting messages",
                "Does a service keep up with its queue? A message holds up to 100 events.",
                "short",
                {"{{queue}}": 'sum by (queue) (rabbitmq_detailed_queue_messages_ready{queue=~".+-service"})'},
            ),
            Panel(
                "Events",
                "How many events a second does each service publish and take in?",
                "ops",
                {
                    "{{job}} published": "sum by (job) (rate(events_published_total[5m]))",
                    "{{job}} taken in": "sum by (job) (rate(events_consumed_total[5m]))",
                },
            ),
            Panel(
                "Batches",
                "How well do events share messages and transactions? More load makes larger batches.",
                "short",
                {
                    "events a message": mean("events_published_total", "messages_published_total"),
                    "events a transaction": mean("event_batch_size_sum", "event_batch_size_count"),
                },
            ),
            Panel(
                "Set aside",
                "What could a service not take in: dead letters now, and events tried again a second?",
                "short",
                {
                    "{{job}} dead letters": "max by (job) (dead_letters)",
                    "{{job}} tried again": "sum by (job) (rate(events_retried_total[5m]))",
                },
            ),
            Panel(
                "Outbox",
                "Do events wait to be published, and for how many seconds?",
                "short",
                {
                    "{{job}} events": "max by (job) (outbox_backlog)",
                    "{{job}} oldest, s": "max by (job) (outbox_oldest_age_seconds)",
                },
            ),
            Panel(
                "Room of the broker",
                "Does RabbitMQ come near to blocking publishers? It does so at 100 % of either.",
                "percentunit",
                {
                    "memory": "max(rabbitmq_process_resident_memory_bytes / rabbitmq_resident_memory_limit_bytes)",
                    "disk": "max(rabbitmq_disk_space_available_limit_bytes / rabbitmq_disk_space_available_bytes)",
                },
            ),
        ),
    ),
    Dashboard(
        "database",
        "Database",
        (
            Panel(
                "Connections",
                "Who has how many connections, and how many are there?",
                "short",
                {
                    "{{usename}}": "sum by (usename) (pg_stat_activity_count)",
                    "at most": "max(pg_settings_max_connections)",
                },
            ),
            Panel(
                "Transactions",
                "How many transactions a second does PostgreSQL commit and roll back?",
                "ops",
                {
                    "committed": "sum(rate(pg_stat_database_xact_commit[5m]))",
                    "rolled back": "sum(rate(pg_stat_database_xact_rollback[5m]))",
                },
            ),
            Panel(
                "Waits",
                "Does anybody wait for a lock, and do transactions deadlock?",
                "short",
                {
                    "waiting": "max(pg_locks_waiting)",
                    "deadlocks in 5 minutes": "sum(increase(pg_stat_database_deadlocks[5m]))",
                },
            ),
            Panel(
                "Found in memory",
                "Which part of the blocks need not be read from disk?",
                "percentunit",
                {
                    "found": "sum(rate(pg_stat_database_blks_hit[5m])) / (sum(rate(pg_stat_database_blks_hit[5m]))"
                    " + sum(rate(pg_stat_database_blks_read[5m])))"
                },
            ),
            Panel(
                "Size",
                "How large is the database, and which tables are?",
                "bytes",
                {
                    "all": "max(pg_database_size_bytes)",
                    "{{schemaname}}.{{relname}}": "topk(8, pg_table_total_size_bytes)",
                },
            ),
            Panel(
                "Dead rows",
                "Does autovacuum keep up? Outboxes and inboxes are written and emptied all the time.",
                "short",
                {"{{schemaname}}.{{relname}}": "topk(8, pg_stat_user_tables_n_dead_tup)"},
            ),
        ),
    ),
    Dashboard(
        "objectives",
        "Objectives",
        (
            Panel(
                "Error budget left",
                "How much of what may go wrong within 30 days is left?",
                "percentunit",
                {
                    "{{slo}}": "1 - sum_over_time(slo:bad:rate2m[30d]) / sum_over_time(slo:all:rate2m[30d])"
                    " / on (slo) slo:budget"
                },
                "stat",
            ),
            Panel(
                "Burn rate",
                "How fast does the budget burn? At 1 it lasts 30 days; alerts: 14.4 over an hour, 6 over six hours.",
                "short",
                {"{{slo}} 1h": "slo:burn_rate:1h", "{{slo}} 6h": "slo:burn_rate:6h"},
            ),
            Panel(
                "Kept now",
                "Which part of the orders and events met its objective?",
                "percentunit",
                {"{{slo}}": "1 - slo:bad:rate2m / slo:all:rate2m"},
            ),
            Panel(
                "Firing alerts",
                "How many alerts fire? Prometheus and Alertmanager name them.",
                "short",
                {"alerts": 'count(ALERTS{alertstate="firing"}) or vector(0)'},
                "stat",
            ),
        ),
    ),
)


def grafana(dashboard: Dashboard) -> dict[str, Any]:
    """https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/"""
    return {
        "uid": f"order-processing-{dashboard.uid}",
        "title": dashboard.title,
        "tags": ["order-processing"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["order-processing"], "title": "", "asDropdown": False}],
        "panels": [_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS // _WIDTH)
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.question,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def main(check: bool) -> int:
    texts = {FOLDER / f"{its.uid}.json": json.dumps(grafana(its), indent=2) + "\n" for its in DASHBOARDS}
    stray = set(FOLDER.glob("*.json")) - set(texts)
    wrong = [path for path, text in texts.items() if not path.exists() or path.read_text() != text] + sorted(stray)
    for path in wrong:
        print(f"{path.name} {'is not as dashboards.py says: run it' if check else 'written'}")
        if not check:
            path.write_text(texts[path]) if path in texts else path.unlink()
    return int(check and bool(wrong))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
