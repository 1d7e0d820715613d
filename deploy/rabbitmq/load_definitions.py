"""Gives a running RabbitMQ the exchanges, queues and bindings of definitions.json; those that exist stay as they are.
Deletes what earlier versions used and nobody needs any more.

By its management API, because a node that loads definitions at its start makes no default user.
"""

import base64
import http.client
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEFINITIONS = Path(__file__).with_name("definitions.json")
RETIRED = ("order_events.retry.1s", "order_events.retry.5s", "order_events.retry.30s")
"""Exchanges and the queues of the same name, in which all services' events waited for a retry until version 1.0. A
service of that version that still runs declares them again; the next load deletes them."""


class Refused(Exception):
    """What the broker refuses, in a sentence."""


class Broker:
    """The management API, for one vhost."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.vhost = parts.path.strip("/") or "%2F"
        self._address = parts.hostname or "localhost", parts.port
        secret = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None, *, or_none: bool = False) -> Any:
        """The answer's document. Raises Refused, unless what isn't there is to be None; raises OSError if nobody
        answers."""
        connection = http.client.HTTPConnection(*self._address, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status == 404 and or_none:
            return None
        if answer.status >= 300:
            raise Refused(f"RabbitMQ refuses {method} {path}: {answer.status} {text}")
        return json.loads(text or "null")


def retire(broker: Broker) -> None:
    """Deletes each retired queue that is empty, its exchange first so that no message can come in between."""
    for name in RETIRED:
        path = f"/api/queues/{broker.vhost}/{name}"
        queue = broker.call("GET", path, or_none=True)
        if queue is None or queue.get("messages") != 0:
            continue
        broker.call("DELETE", f"/api/exchanges/{broker.vhost}/{name}", or_none=True)
        looked_at = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
        if not broker.call("POST", f"{path}/get", looked_at):  # the count above is some seconds old
            broker.call("DELETE", path, or_none=True)


def main() -> int:
    broker = Broker(os.environ["RABBITMQ_MANAGEMENT_URL"])
    try:
        broker.call("POST", f"/api/definitions/{broker.vhost}", json.loads(DEFINITIONS.read_text()))
        retire(broker)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    print("RabbitMQ has the exchanges, queues and bindings of deploy/rabbitmq/definitions.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
