"""Messages that no service can take in. Each bears a token, by which it is known again among the dead letters."""

import json
import random
import re
from dataclasses import dataclass
from uuid import UUID

from chassis.messaging.envelope import BATCH, SINGLE
from chassis.messaging.topology import EXCHANGE
from chassis.ports.events import routing_key

from bus import Bus, Event, sent_before
from system import DEFINITIONS, ROOT

TOKEN = re.compile(rb"poison-\d+-[a-z-]+")
REFUSED_FROM_STRANGERS = {"order-service": "PaymentFailed", "inventory-service": "OrderCompleted"}
"""What these read about an order that they can't know they refuse; to the others it is an order."""


def read_by(service: str) -> Event:
    """The example of an event that the service reads."""
    definitions = json.loads(DEFINITIONS.read_text())
    keys = [b["routing_key"] for b in definitions["bindings"] if (b["source"], b["destination"]) == (EXCHANGE, service)]
    examples = [json.loads(path.read_text()) for path in sorted(ROOT.glob("*/contracts/*.example.json"))]
    name = REFUSED_FROM_STRANGERS.get(service)
    found: Event = next(e for e in examples if (e["type"] == name if name else routing_key(e["type"]) in keys))
    return found


@dataclass(frozen=True, slots=True)
class Poison:
    service: str
    token: str
    body: bytes
    content_type: str | None


def poisons(service: str, number: int) -> list[Poison]:
    """One of each sort, for this service; `number` makes them different from those of another act."""
    chance = random.Random(number)
    event = read_by(service)
    stranger = str(UUID(int=chance.getrandbits(128), version=4))

    def of(token: str, **fields: object) -> bytes:
        known = event | {"id": str(UUID(int=chance.getrandbits(128), version=4)), "subject": stranger, "token": token}
        return json.dumps(known | fields).encode()

    sorts: dict[str, tuple[bytes, str | None]] = {}

    def add(sort: str, body: bytes, content_type: str | None = SINGLE) -> None:
        sorts[sort] = body, content_type

    def token(sort: str) -> str:
        return f"poison-{number}-{sort}-{service}"

    add("garbage", b"\xff\xfe" + token("garbage").encode())
    add("nested", f'["{token("nested")}",'.encode() + b"[" * 50_000)
    add("huge", of(token("huge"), extra="x" * 600_000))
    add("unknown-type", of(token("unknown-type"), type="OrderEaten"))
    add("wrong-types", of(token("wrong-types"), data=event["data"] | {"order_id": 17, "customer_id": ["x"]}))
    add("no-data", of(token("no-data"), data=None))
    add("no-id", of(token("no-id"), id=None))
    add("text", of(token("text")), "text/plain")
    add("untyped", of(token("untyped")), None)
    add("batch", b"[" + of(token("batch"), data={}) + b"]", BATCH)
    if service in REFUSED_FROM_STRANGERS:
        add("stranger", of(token("stranger"), data=event["data"] | {"order_id": stranger}))
    return [Poison(service, token(sort), body, content_type) for sort, (body, content_type) in sorts.items()]


async def send(channel: Bus, poison: Poison) -> None:
    """Puts it into the service's queue, and into no other."""
    await channel.send(
        poison.body,
        poison.content_type,
        routing_key=poison.service,
        exchange="",
        message_id=poison.token,
        headers=sent_before(read_by(poison.service)),
    )
