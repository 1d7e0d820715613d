"""Gives a running RabbitMQ the exchanges, queues and bindings of definitions.json; those that exist stay as they are.
Deletes what earlier versions used and nobody needs any more.

    load_definitions.py             once
    load_definitions.py --watch     and again whenever the broker has lost any of it, or a password has changed
    load_definitions.py --check     changes nothing; status 1 if the broker lacks any of it

With ENVIRONMENT=production it also makes the services' users (users.py), and no tap. By the management API, because a
node that loads definitions at its start makes no default user.
"""

import base64
import http.client
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import users

DEFINITIONS = Path(__file__).with_name("definitions.json")
TAP = "order_events.tap"
RETIRED = ("order_events.retry.1s", "order_events.retry.5s", "order_events.retry.30s")
"""Exchanges and the queues of the same name, in which all services' events waited for a retry until version 1.0. A
service of that version that still runs declares them again; the next load deletes them."""
WATCH_EVERY_SECONDS = 2.0


class Refused(Exception):
    """What the broker refuses, or what must be done first, in a sentence."""


class Broker:
    """The management API, for one vhost."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.vhost = parts.path.strip("/") or "/"
        self.path = quote(self.vhost, safe="")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._address = parts.hostname or "localhost", parts.port
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        secret = base64.b64encode(login.encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None, *, or_none: bool = False) -> Any:
        """The answer's document. Raises Refused, unless what isn't there is to be None; raises OSError if nobody
        answers."""
        connection = self._kind(*self._address, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except http.client.HTTPException as error:
            raise OSError(f"no answer from the management API: {error!r}") from None
        finally:
            connection.close()
        if answer.status == 404 and or_none:
            return None
        if answer.status >= 300:
            raise Refused(f"RabbitMQ refuses {method} {path}: {answer.status} {text}")
        return json.loads(text or "null")


def wanted(vhost: str, *, production: bool) -> dict[str, list[dict[str, Any]]]:
    """By the definitions' own words, each entry with its vhost. Raises users.Missing."""
    found = json.loads(DEFINITIONS.read_text())
    if production:
        found["queues"] = [queue for queue in found["queues"] if queue["name"] != TAP]
        found["bindings"] = [binding for binding in found["bindings"] if binding["destination"] != TAP]
    topology = {kind: [entry | {"vhost": vhost} for entry in entries] for kind, entries in found.items()}
    if not production:
        return topology
    return topology | {
        "users": list(users.entries(found)),
        "permissions": list(users.permissions(found, vhost)),
        "topic_permissions": list(users.topic_permissions(found, vhost)),
    }


def missing(broker: Broker, *, production: bool) -> bool:
    """Whether the broker lacks any of it."""
    present = broker.call("GET", "/api/definitions")
    known = {user["name"]: user for user in present["users"]}
    for kind, entries in wanted(broker.vhost, production=production).items():
        for entry in entries:
            if kind == "users":
                if not users.agrees(known.get(entry["name"], {})):
                    return True
            elif not any(entry.items() <= other.items() for other in present[kind]):
                return True
    return False


def load(broker: Broker, *, production: bool) -> None:
    if production:
        refuse_known_passwords(broker)
        leave_development(broker)
    for kind, entries in wanted(broker.vhost, production=production).items():
        broker.call("POST", "/api/definitions", {kind: entries})
    retire(broker)
    whose = " and the users" if production else ""
    print(f"RabbitMQ has the exchanges, queues and bindings{whose} of deploy/rabbitmq/definitions.json", flush=True)


def refuse_known_passwords(broker: Broker) -> None:
    """Raises Refused for a user of development's, or of a new RabbitMQ's, who may still do something in this vhost."""
    permitted = {entry["user"] for entry in broker.call("GET", f"/api/vhosts/{broker.path}/permissions")}
    for user in broker.call("GET", "/api/users"):
        if user["name"] in permitted and users.everybody_knows(user):
            raise Refused(
                f"Everybody knows the password of RabbitMQ's user {user['name']}: delete the user, or"
                " give it another one (rabbitmqctl change_password) and write that into RABBITMQ_MANAGEMENT_URL."
            )


def leave_development(broker: Broker) -> None:
    """Deletes the tap, by which a broker is known that was last furnished for development. Raises Refused while a
    message waits there."""
    known = {user["name"] for user in broker.call("GET", "/api/users")}
    if users.OPERATOR in known and broker.call("GET", f"/api/queues/{broker.path}/{TAP}", or_none=True) is None:
        return
    counted: dict[str, int | None] = {"": None}
    while None in counted.values():  # a broker that has just started has not counted yet
        found = broker.call("GET", f"/api/queues/{broker.path}")
        counted = {queue["name"]: queue.get("messages") for queue in found if queue["name"] != TAP}
        time.sleep(WATCH_EVERY_SECONDS if None in counted.values() else 0)
    if waiting := [f"{name} ({number})" for name, number in counted.items() if number]:
        raise Refused(
            f"Messages wait in {', '.join(waiting)}. They are of development, where nobody vouches for who sent a"
            " message, so that every service would take them for forgeries. Start the system in development, redrive or"
            " drop the dead letters, wait until the queues are empty, stop the services, and come back."
        )
    broker.call("DELETE", f"/api/queues/{broker.path}/{TAP}", or_none=True)


def retire(broker: Broker) -> None:
    """Deletes each retired queue that is empty, its exchange first so that no message can come in between."""
    for name in RETIRED:
        path = f"/api/queues/{broker.path}/{name}"
        queue = broker.call("GET", path, or_none=True)
        if queue is None or queue.get("messages") != 0:
            continue
        broker.call("DELETE", f"/api/exchanges/{broker.path}/{name}", or_none=True)
        looked_at = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
        if not broker.call("POST", f"{path}/get", looked_at):  # the count above is some seconds old
            broker.call("DELETE", path, or_none=True)


def watch(broker: Broker, *, production: bool) -> None:
    """Never returns. What fails is tried again: the broker may be away, or about to come back empty."""
    said = ""
    while True:
        time.sleep(WATCH_EVERY_SECONDS)
        try:
            if missing(broker, production=production):
                load(broker, production=production)
            said = ""
        except (OSError, Refused, users.Missing) as error:
            if said != (said := str(error)):
                print(said, file=sys.stderr, flush=True)


def main() -> int:
    production = os.environ.get("ENVIRONMENT") == "production"
    try:
        broker = Broker(users.secret("RABBITMQ_MANAGEMENT_URL"))
        if "--check" in sys.argv[1:]:
            return int(missing(broker, production=production))
        load(broker, production=production)
        if "--watch" in sys.argv[1:]:
            watch(broker, production=production)
    except OSError as error:
        print(f"RabbitMQ's management API does not answer: {error}", file=sys.stderr)
    except (Refused, users.Missing) as refusal:
        print(refusal, file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
