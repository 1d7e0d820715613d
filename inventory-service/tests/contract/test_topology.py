"""The map of the broker has this service's queue and bindings, and a reader for all that it publishes."""

from typing import get_args

from chassis.messaging.topology import Queue
from chassis.testing import topology_problems

from application.messages import CONSUMED
from domain.events import InventoryEvent
from tests.contracts import ROOT

DEFINITIONS = ROOT / "deploy" / "rabbitmq" / "definitions.json"


def test_the_map_and_the_service_agree() -> None:
    published = [event.name for event in get_args(InventoryEvent)]
    assert topology_problems(DEFINITIONS, Queue("inventory-service", list(CONSUMED)), published) == []
