"""The map of the broker has this service's queue and bindings, and a reader for all that it publishes."""

from pathlib import Path

from chassis.messaging.topology import Queue
from chassis.testing import topology_problems

from infrastructure.messages import CONSUMED, PUBLISHED

DEFINITIONS = Path(__file__).parents[3] / "deploy" / "rabbitmq" / "definitions.json"


def test_the_map_and_the_service_agree() -> None:
    queue = Queue("payment-service", [wire.routing_key for wire in CONSUMED])
    assert topology_problems(DEFINITIONS, queue, PUBLISHED.values()) == []
