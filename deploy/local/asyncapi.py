"""console/static/asyncapi.json: the events as AsyncAPI 3.0 has them, made from the services' contracts/."""

import json
from typing import Any

import layout

DOCUMENT = layout.ROOT / "console" / "static" / "asyncapi.json"
_EXCHANGE = {"name": "order_events", "type": "topic", "durable": True, "autoDelete": False}
_DESCRIPTION = (
    "The events of four services, which react to each other's without a coordinator. They travel on the topic exchange"
    " `order_events`, each in a CloudEvents 1.0 envelope, alone or as an `application/cloudevents-batch+json` array of"
    " envelopes with the same routing key. They come in any order and more than once; an event's `id` tells which."
)


def text(services: list[dict[str, Any]]) -> str:
    """The document, of what `python -m chassis.testing.declared` says in each service's folder."""
    events = [(service["service"], event) for service in services for event in service["published"]]
    operations = {f"publish{event['name']}": _operation("send", source, event) for source, event in events}
    for reader in services:
        short = reader["service"].partition("-")[0]
        operations |= {
            f"{short}Reads{event['name']}": _operation("receive", reader["service"], event)
            for _, event in events
            if event["name"] in reader["consumed"]
        }
    document = {
        "asyncapi": "3.0.0",
        "id": "urn:order-processing:events",
        "info": {
            "title": "Order processing events",
            "version": "1.0.0",
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {
            "development": {
                "host": "localhost:5672",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "What `make up` starts. In production amqps, and a user for each service.",
            }
        },
        "channels": {event["routing_key"]: _channel(event) for _, event in events},
        "operations": operations,
        "components": {"messages": {event["name"]: _message(source, event) for source, event in events}},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _channel(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": event["routing_key"],
        "messages": {event["name"]: {"$ref": f"#/components/messages/{event['name']}"}},
        "bindings": {"amqp": {"is": "routingKey", "exchange": _EXCHANGE, "bindingVersion": "0.3.0"}},
    }


def _operation(action: str, service: str, event: dict[str, Any]) -> dict[str, Any]:
    key = event["routing_key"]
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{key}"},
        "messages": [{"$ref": f"#/channels/{key}/messages/{event['name']}"}],
        "summary": f"{service} {'publishes' if action == 'send' else 'reads'} {event['name']}",
        "tags": [{"name": service}],
    }


def _message(service: str, event: dict[str, Any]) -> dict[str, Any]:
    contracts = layout.ROOT / service / "contracts"
    schema = json.loads((contracts / f"{event['name']}.schema.json").read_text())
    example = json.loads((contracts / f"{event['name']}.example.json").read_text())
    payload = {name: value for name, value in schema.items() if not name.startswith("$")}
    return {
        "name": event["name"],
        "title": event["name"],
        "summary": event["says"],
        "contentType": "application/cloudevents+json",
        "payload": payload,
        "examples": [{"name": event["name"], "payload": example}],
    }
