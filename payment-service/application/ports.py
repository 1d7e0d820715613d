"""The ports of the use cases. The adapters are in infrastructure/."""

from collections.abc import Sequence
from typing import Protocol

from chassis.ports.unit_of_work import Repository, Unit

from domain.attempt import Attempt, Reply
from domain.payment import Payment


class PaymentGateway(Protocol):
    async def ask(self, attempt: Attempt) -> Reply:
        """Charges or refunds under the attempt's idempotency key: the same key gets the first answer again. Returns
        UNAVAILABLE or UNKNOWN instead of raising an error if no answer comes."""


class GatewayCalls(Protocol):
    """The calls to the gateway that are under way, and the circuit breaker before them."""

    @property
    def room(self) -> int:
        """The number of calls that may begin now."""

    @property
    def are_probes(self) -> bool:
        """Whether calls only find out if the gateway works again."""

    def hold_back(self, number: int) -> None:
        """Counts calls that the breaker kept from beginning at once."""

    def make(self, attempts: Sequence[Attempt]) -> None:
        """Asks the gateway in the background, then applies the answers."""


class PaymentRepository(Repository[Payment], Protocol):
    """By order id."""

    async def locked_due(self, limit: int, *, unknown_first: bool = False) -> Sequence[Payment]:
        """Locks payments for which the gateway is to be asked by now, the oldest first or, before them, those of
        unknown outcome; skips those that another transaction has locked."""


class PaymentUnit(Unit, Protocol):
    @property
    def payments(self) -> PaymentRepository: ...
