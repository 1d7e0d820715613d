"""Gives a running RabbitMQ the exchanges, queues and bindings of definitions.json; those that exist stay as they are.

By its management API, because a node that loads definitions at its start makes no default user.
"""

import base64
import http.client
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit


def main() -> int:
    url = urlsplit(os.environ["RABBITMQ_MANAGEMENT_URL"])
    secret = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
    connection = http.client.HTTPConnection(url.hostname or "localhost", url.port, timeout=30)
    connection.request(
        "POST",
        "/api/definitions/%2F",
        Path(__file__).with_name("definitions.json").read_bytes(),
        {"Authorization": f"Basic {secret}", "Content-Type": "application/json"},
    )
    answer = connection.getresponse()
    if answer.status >= 300:
        print(f"RabbitMQ refuses the definitions: {answer.status} {answer.read().decode()}", file=sys.stderr)
        return 1
    print("RabbitMQ has the exchanges, queues and bindings of deploy/rabbitmq/definitions.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
