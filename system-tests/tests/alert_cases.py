"""For each alerting rule, series on both sides of what it asks: when it fires, for whom, and when it is silent.

A sample a minute, as in promtool's own notation: `0+5x20` is 0, then 20 times 5 more. The rules are evaluated a minute
apart, too, so that a second of `for:` more or less is another minute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Case:
    alert: str
    name: str
    series: Mapping[str, str]
    silent: Sequence[int] = ()
    """Minutes at which it does not fire for anybody."""
    fires: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """By minute, for whom (the labels of a rule that has a `by`), and the summary that is read then."""


def _requests(job: str, route: str, status: int) -> str:
    return f'http_request_duration_seconds_count{{job="{job}", instance="a", route="{route}", status="{status}"}}'


def _attempts(kind: str, answer: str) -> str:
    return f'payment_attempts_total{{instance="a", kind="{kind}", answer="{answer}"}}'


CASES = (
    Case(
        "BooksDisagree",
        "at the first disagreement, though another reader of the books has not seen it yet",
        {'books_violations{instance="a"}': "0 0 1 1 0", 'books_violations{instance="b"}': "0 0 0 0 0"},
        silent=[0, 1, 4],
        fires={2: {"": "1 disagreement(s) between orders, stock, reservations and payments"}},
    ),
    Case(
        "SomethingIsOverdue",
        "of one kind, for five minutes",
        {
            'books_overdue{kind="order", instance="a"}': "0 1x6 0 1x3 0x10",
            'books_overdue{kind="order", instance="b"}': "0x30",
            'books_overdue{kind="reservation", instance="a"}': "0x30",
        },
        silent=[0, 5, 8, 13, 20],
        fires={6: {'kind="order"': "1 overdue (order)"}},
    ),
    Case(
        "SomethingIsOverdue",
        "each kind by itself",
        {'books_overdue{kind="order"}': "1x20", 'books_overdue{kind="outbox"}': "0x4 3x20"},
        silent=[4],
        fires={
            5: {'kind="order"': "1 overdue (order)"},
            10: {'kind="order"': "1 overdue (order)", 'kind="outbox"': "3 overdue (outbox)"},
        },
    ),
    Case(
        "PaymentsOfUnknownOutcome",
        "for five minutes, and not what else needs attention",
        {
            'books_attention{kind="unknown-outcome", instance="a"}': "0 1x6 0x30",
            'books_attention{kind="unknown-outcome", instance="b"}': "0x40",
            'books_attention{kind="something-else"}': "1x40",
        },
        silent=[0, 5, 8, 30],
        fires={
            6: {
                'kind="unknown-outcome"': "1 payment(s) of which the gateway doesn't say whether they were charged",
            }
        },
    ),
    Case(
        "BooksNotRead",
        "for more than an hour (the clock begins at 0), and then for a quarter of one",
        {
            'books_read_timestamp_seconds{instance="a"}': "0x200",
            'books_read_timestamp_seconds{instance="b"}': "-99x200",
        },
        silent=[60, 75],
        fires={76: {"": "Nobody has looked into the books for an hour"}},
    ),
    Case(
        "BooksNotRead",
        "read every half hour",
        {"books_read_timestamp_seconds": " ".join(f"{minute * 60}x29" for minute in range(0, 180, 30))},
        silent=[75, 90, 120, 179],
    ),
    Case(
        "BooksNotRead",
        "at all, for a quarter of an hour",
        {"books_orders": "1x200"},
        silent=[14],
        fires={15: {"": "Nobody has looked into the books for an hour"}},
    ),
    Case(
        "DeadLetters",
        "at the first letter, once for all replicas of a service, which ask the same queue",
        {
            'dead_letters{job="order-service", instance="a"}': "0 0 1 1 0",
            'dead_letters{job="order-service", instance="b"}': "0 0 0 1 0",
            'dead_letters{job="inventory-service"}': "0 0 0 0 0",
        },
        silent=[0, 1, 4],
        fires={2: {'job="order-service"': "1 message(s) that order-service could not take in"}},
    ),
    Case(
        "HandlerErrors",
        "which go on for ten minutes; the other service's stopped",
        {
            'events_retried_total{job="order-service", instance="a"}': "0x2 1x8 2x20",
            'events_retried_total{job="order-service", instance="b"}': "0x60",
            'events_retried_total{job="inventory-service"}': "0x2 1x60",
        },
        silent=[2, 12, 23],
        fires={
            13: {'job="order-service"': "order-service keeps failing on events, which soon become dead letters"},
            20: {'job="order-service"': "order-service keeps failing on events, which soon become dead letters"},
        },
    ),
    Case(
        "OutboxStuck",
        "older than a minute, for two",
        {
            'outbox_oldest_age_seconds{job="order-service", instance="a"}': "60x5 61x4 0x10",
            'outbox_oldest_age_seconds{job="order-service", instance="b"}': "0x40",
            'outbox_oldest_age_seconds{job="inventory-service"}': "60x40",
        },
        silent=[5, 7, 12, 40],
        fires={8: {'job="order-service"': "An event of order-service has waited 61 s to be published"}},
    ),
    Case(
        "NotConsuming",
        "for two minutes, no replica of a service; of the other, one still is",
        {
            'broker_connected{job="order-service", instance="a"}': "1 0x10 1x10",
            'broker_connected{job="order-service", instance="b"}': "0x30",
            'broker_connected{job="inventory-service", instance="a"}': "0x30",
            'broker_connected{job="inventory-service", instance="b"}': "1x30",
        },
        silent=[0, 2, 12, 20],
        fires={3: {'job="order-service"': "No instance of order-service is a consumer of its queue"}},
    ),
    Case(
        "ServiceDown",
        "for a minute, an instance of one of the four, whichever it is, and of nobody else",
        {
            f'up{{job="{job}", instance="a"}}': "1 0x4 1x5"
            for job in ("order-service", "inventory-service", "payment-service", "notification-service", "node")
        }
        | {'up{job="order-service", instance="b"}': "1x20"},
        silent=[0, 1, 6],
        fires={
            2: {
                f'job="{job}", instance="a"': f"a of {job} does not answer"
                for job in ("order-service", "inventory-service", "payment-service", "notification-service")
            }
        },
    ),
    Case(
        "RequestsFail",
        "more than a twentieth for five minutes, until nobody asks any more; of the other service, just as many as may",
        {
            _requests("order-service", "/orders", 503): "0+26x12 312x40",
            _requests("order-service", "/orders", 500): "0+25x12 300x40",
            _requests("order-service", "/orders", 201): "0+949x12 11388x40",
            _requests("inventory-service", "/inventory/{product_id}", 500): "0+60x40",
            _requests("inventory-service", "/inventory/{product_id}", 404): "0+1140x40",
        },
        silent=[0, 5, 18, 40],
        fires={
            6: {'job="order-service"': "5.1% of the requests to order-service are answered with 5xx"},
            15: {'job="order-service"': "5.1% of the requests to order-service are answered with 5xx"},
        },
    ),
    Case(
        "RequestsFail",
        "though a failing service is asked for its health much more often",
        {
            _requests("order-service", "/orders", 503): "0+51x20",
            _requests("order-service", "/orders", 201): "0+949x20",
            _requests("order-service", "/health/live", 200): "0+9999x20",
            _requests("order-service", "/health", 200): "0+9999x20",
        },
        silent=[5],
        fires={6: {'job="order-service"': "5.1% of the requests to order-service are answered with 5xx"}},
    ),
    Case(
        "RequestsFail",
        "where only /health answers 503, as it should, or nobody asks anything",
        {
            _requests("order-service", "/orders", 201): "0+90x40",
            _requests("order-service", "/health", 503): "0+10x40",
            _requests("order-service", "/health/ready", 503): "0+10x40",
            _requests("inventory-service", "/inventory", 503): "7x40",
        },
        silent=[6, 20, 40],
    ),
    Case(
        "GatewayFails",
        "more than half of one kind of call, either way, for ten minutes, until nobody calls any more",
        {
            _attempts("charge", "error"): "0+20x30 600x40",
            _attempts("charge", "unknown"): "0+16x30 480x40",
            _attempts("charge", "unavailable"): "0+15x30 450x40",
            _attempts("charge", "done"): "0+48x30 1440x40",
            _attempts("charge", "declined"): "0+1x30 30x40",
            _attempts("refund", "error"): "0+50x70",
            _attempts("refund", "done"): "0+50x70",
        },
        silent=[0, 10, 42, 70],
        fires={
            11: {'kind="charge"': "51% of the calls of the payment gateway (charge) fail"},
            38: {'kind="charge"': "51% of the calls of the payment gateway (charge) fail"},
        },
    ),
    Case(
        "GatewayLeftAlone",
        "by any replica, again and again for five minutes, though it tries the gateway in between",
        {
            'payment_breaker_state{job="payment-service", instance="a"}': "0 2 1 2 1 1 2 1 2 1 1 0x10",
            'payment_breaker_state{job="payment-service", instance="b"}': "0x30",
        },
        silent=[0, 5, 12, 20],
        fires={
            6: {
                'job="payment-service"': "The circuit breaker of payment-service keeps payments from the gateway "
                "again and again"
            }
        },
    ),
    Case(
        "GatewayLeftAlone",
        "not when it was open once, nor while it is half open because nobody pays",
        {'payment_breaker_state{job="payment-service"}': "0 2 2 2 1x30"},
        silent=[4, 6, 7, 10, 20],
    ),
    Case(
        "QueueGrows",
        "of one service, on all nodes, for five minutes; other queues may",
        {
            'rabbitmq_detailed_queue_messages_ready{vhost="/", instance="a", queue="order-service"}': "0 600x8 0x20",
            'rabbitmq_detailed_queue_messages_ready{vhost="/", instance="b", queue="order-service"}': "0 401x8 0x20",
            'rabbitmq_detailed_queue_messages_ready{vhost="/", queue="payment-service"}': "1000x30",
            'rabbitmq_detailed_queue_messages_ready{vhost="/", queue="order_events.tap"}': "5000x30",
            'rabbitmq_detailed_queue_messages_ready{vhost="/", queue="order-service.dlq"}': "5000x30",
        },
        silent=[5, 10, 30],
        fires={6: {'queue="order-service"': "1001 messages wait for order-service"}},
    ),
    Case(
        "QueueGrows",
        "more than a thousand, and not a thousand",
        {'rabbitmq_detailed_queue_messages_ready{queue="payment-service"}': "985x10 1010x10"},
        silent=[10, 15],
        fires={16: {'queue="payment-service"': "1010 messages wait for payment-service"}},
    ),
    *(
        Case(
            "BrokerBlocksPublishers",
            f"at once, on any node of the cluster, for lack of {what}",
            {
                f'rabbitmq_alarms_{what}_watermark{{instance="a"}}': "0 0 1 0",
                f'rabbitmq_alarms_{what}_watermark{{instance="b"}}': "0 0 0 0",
            },
            silent=[0, 1, 3],
            fires={2: {"": "RabbitMQ takes no messages for lack of memory or disk"}},
        )
        for what in ("memory_used", "free_disk_space")
    ),
    Case(
        "ConnectionsRunOut",
        "all users together, for five minutes",
        {
            'pg_stat_activity_count{usename="orders"}': "50 81x7 50x20",
            'pg_stat_activity_count{usename="postgres"}': "80x30",
            'pg_settings_max_connections{instance="a"}': "200x30",
            'pg_settings_max_connections{instance="b"}': "100x30",
        },
        silent=[5, 9, 20],
        fires={6: {"": "80.5% of PostgreSQL's connections are taken"}},
    ),
    Case(
        "ConnectionsRunOut",
        "not four fifths",
        {'pg_stat_activity_count{usename="orders"}': "160x20", "pg_settings_max_connections": "200x20"},
        silent=[10],
    ),
    Case(
        "ConnectionsRunOut",
        "not a little less",
        {'pg_stat_activity_count{usename="orders"}': "157x20", "pg_settings_max_connections": "198x20"},
        silent=[10],
    ),
    Case(
        "NotWatched",
        "for two minutes; services have an alert of their own",
        {
            'up{job="rabbitmq", instance="a"}': "1 0x3 1x10",
            'up{job="metrics", instance="b"}': "1x20",
            'up{job="order-service", instance="c"}': "0x20",
        },
        silent=[2, 5, 10],
        fires={3: {'job="rabbitmq", instance="a"': "rabbitmq tells Prometheus nothing"}},
    ),
)
