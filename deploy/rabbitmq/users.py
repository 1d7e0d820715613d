"""The broker's users in production: one for each service, and `operations` for whoever sends dead letters back.

A service publishes under its own keys and sets aside through its own exchange, reads its own queue, declares nothing.
Everything follows from definitions.json. A user has no tag, so none may use the management API.
"""

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXCHANGE = "order_events"
OPERATOR = "operations"
_HASHING = "rabbit_password_hashing_sha256"

Entry = dict[str, Any]


class Missing(Exception):
    """A secret that nothing names, in a sentence."""


def secret(name: str) -> str:
    """The variable, or the contents of the file that the variable of that name and _FILE names. Raises Missing."""
    if value := os.environ.get(name):
        return value
    if file := os.environ.get(f"{name}_FILE"):
        try:
            return Path(file).read_text().strip()
        except OSError as error:
            raise Missing(f"{name}_FILE names a file that can't be read: {error}") from None
    raise Missing(f"{name} is not set: set it, or set {name}_FILE to the path of a file that contains it.")


def password(user: str) -> str:
    return secret(f"{user.upper().replace('-', '_')}_RABBITMQ_PASSWORD")


def hashed(plain: str, salt: bytes | None = None) -> str:
    """https://www.rabbitmq.com/docs/passwords#computing-password-hash: no password stands in the definitions."""
    salt = salt or secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + plain.encode()).digest()).decode()


def entries(definitions: Entry) -> Iterator[Entry]:
    """Raises Missing."""
    for name in [*names(definitions), OPERATOR]:
        yield {"name": name, "password_hash": hashed(password(name)), "hashing_algorithm": _HASHING, "tags": []}


def agrees(user: Entry) -> bool:
    """Whether a user is as its entry says, whose salt differs. Raises Missing."""
    return bool(user and not user["tags"] and _is_password(password(user["name"]), user))


def everybody_knows(user: Entry) -> bool:
    """Whether its password is its name, or that of RabbitMQ's or of this system's administrator in development."""
    return any(_is_password(word, user) for word in ("guest", "admin", user["name"]))


def _is_password(plain: str, user: Entry) -> bool:
    if user["hashing_algorithm"] != _HASHING:
        return False
    salt = base64.b64decode(user["password_hash"])[:4]
    return bool(hashed(plain, salt) == user["password_hash"])


def names(definitions: Entry) -> list[str]:
    """The services, each of which has a queue of its name and one for its dead letters."""
    queues = {queue["name"] for queue in definitions["queues"]}
    return sorted(name for name in queues if f"{name}.dlq" in queues)


def permissions(definitions: Entry, vhost: str) -> Iterator[Entry]:
    for service in names(definitions):
        writes = [f"{service}.aside"] + [EXCHANGE] * _publishes(service, definitions)
        yield _permission(service, vhost, write=_only(*writes), read=_only(service))
    # The default exchange, which leads to every queue: a letter goes back to the one that set it aside. And queues that
    # the broker names and forgets with their connection, for whoever follows the events.
    yield _permission(OPERATOR, vhost, write=r"^(amq\.default|amq\.gen.*)$", read=".*", configure=r"^amq\.gen")


def topic_permissions(definitions: Entry, vhost: str) -> Iterator[Entry]:
    """The first word of a routing key names the publisher (chassis/ports/events.py)."""
    for service in names(definitions):
        keys = f"^{re.escape(_word(service))}\\." if _publishes(service, definitions) else "^$"
        yield {"user": service, "vhost": vhost, "exchange": EXCHANGE, "write": keys, "read": "^$"}


def _publishes(service: str, definitions: Entry) -> bool:
    keys = [binding["routing_key"] for binding in definitions["bindings"] if binding["source"] == EXCHANGE]
    return any(key.startswith(f"{_word(service)}.") for key in keys)


def _word(service: str) -> str:
    return service.removesuffix("-service")


def _only(*resources: str) -> str:
    return f"^({'|'.join(re.escape(name) for name in resources)})$"


def _permission(user: str, vhost: str, *, write: str, read: str, configure: str = "^$") -> Entry:
    return {"user": user, "vhost": vhost, "configure": configure, "write": write, "read": read}
