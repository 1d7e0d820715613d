"""The ports of the use cases. The adapters are in infrastructure/."""

from collections.abc import Sequence
from typing import Protocol

from chassis.ports.unit_of_work import Repository, Unit

from domain.attempt import Answer, Attempt
from domain.payment import Payment


class PaymentGateway(Protocol):
    async def ask(self, attempt: Attempt) -> Answer:
        """Charges or refunds under the attempt's idempotency key: the same key gets the first answer again. Returns
        UNKNOWN instead of raising an error if no answer comes."""


class GatewayCalls(Protocol):
    """The calls to the gateway that are under way."""

    @property
    def room(self) -> int:
        """The number of calls that may begin now."""

    def make(self, attempts: Sequence[Attempt]) -> None:
        """Asks the gateway in the background, then applies the answers."""


class PaymentRepository(Repository[Payment], Protocol):
    """By order id."""

    async def locked_due(self, limit: int) -> Sequence[Payment]:
        """Locks payments for which the gateway is to be asked by now, the oldest first; skips those that another
        transaction has locked."""


class PaymentUnit(Unit, Protocol):
    @property
    def payments(self) -> PaymentRepository: ...
