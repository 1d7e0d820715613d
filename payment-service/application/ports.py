"""What the use cases need of the world: the gateway, and a repository in a unit of work. Adapters are in
infrastructure/."""

from collections.abc import Sequence
from typing import Protocol

from chassis.ports.unit_of_work import Repository, Unit

from domain.attempt import Answer, Attempt
from domain.payment import Payment


class PaymentGateway(Protocol):
    async def ask(self, attempt: Attempt) -> Answer:
        """Charges or refunds under the attempt's idempotency key: the same key again gets the first answer again.

        Never raises for what happens on the way: where no answer came, the answer is UNKNOWN.
        """


class GatewayCalls(Protocol):
    """The calls of the gateway that are under way."""

    @property
    def room(self) -> int:
        """How many more may begin now."""

    def make(self, attempts: Sequence[Attempt]) -> None:
        """Asks the gateway in the background, and has the answers applied."""


class PaymentRepository(Repository[Payment], Protocol):
    """By order id."""

    async def locked_due(self, limit: int) -> Sequence[Payment]:
        """Payments whose time to ask the gateway has come, locked; those that another transaction has are left out."""


class PaymentUnit(Unit, Protocol):
    @property
    def payments(self) -> PaymentRepository: ...
