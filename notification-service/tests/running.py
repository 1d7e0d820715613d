"""The service in the test's own process."""

from types import ModuleType

from chassis.testing import running

from tests.contracts import ROOT


def load_main(rabbitmq_url: str) -> ModuleType:
    """main.py, run anew: twice the same is two replicas."""
    return running.load_main(ROOT / "notification-service", RABBITMQ_URL=rabbitmq_url)
