"""The map of the broker has this service's queue and bindings. The service publishes nothing."""

from chassis.messaging.topology import Queue
from chassis.testing import topology_problems

from application.messages import CONSUMED
from tests.contracts import ROOT

DEFINITIONS = ROOT / "deploy" / "rabbitmq" / "definitions.json"


def test_the_map_and_the_service_agree() -> None:
    assert topology_problems(DEFINITIONS, Queue("notification-service", list(CONSUMED)), []) == []
