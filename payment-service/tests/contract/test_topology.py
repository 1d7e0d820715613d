"""The map of the broker has this service's queue and bindings, and a reader for all that it publishes."""

from chassis.messaging.topology import Queue
from chassis.testing import topology_problems

from application.messages import CONSUMED
from tests.contracts import PUBLISHED, ROOT

DEFINITIONS = ROOT / "deploy" / "rabbitmq" / "definitions.json"


def test_the_map_and_the_service_agree() -> None:
    queue = Queue("payment-service", list(CONSUMED))
    assert topology_problems(DEFINITIONS, queue, [event.name for event in PUBLISHED]) == []
