"""What the use cases need from outside: the gateway, and a repository in a unit of work. The adapters are in
infrastructure/."""

from collections.abc import Sequence
from typing import Protocol

from chassis.ports.unit_of_work import Repository, Unit

from domain.attempt import Answer, Attempt
from domain.payment import Payment


class PaymentGateway(Protocol):
    async def ask(self, attempt: Attempt) -> Answer:
        """Charges or refunds under the attempt's idempotency key: the same key gets the first answer again.

        Never raises because of an outage: if no answer came, the answer is UNKNOWN.
        """


class GatewayCalls(Protocol):
    """The calls to the gateway that are under way."""

    @property
    def room(self) -> int:
        """How many more may begin now."""

    def make(self, attempts: Sequence[Attempt]) -> None:
        """Asks the gateway in the background and has the answers applied."""


class PaymentRepository(Repository[Payment], Protocol):
    """By order id."""

    async def locked_due(self, limit: int) -> Sequence[Payment]:
        """The payments for which the gateway is to be asked by now, the oldest first, locked; without payments that
        another transaction has locked."""


class PaymentUnit(Unit, Protocol):
    @property
    def payments(self) -> PaymentRepository: ...
